//! Bars in SVG, and dots where the scale is logarithmic: the length of a bar would say nothing there.

use std::path::Path;

use plotters::backend::SVGBackend;
use plotters::chart::ChartBuilder;
use plotters::drawing::{DrawingArea, IntoDrawingArea as _};
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, FontTransform, IntoFont as _, TextStyle};
use plotters::style::{RGBColor, WHITE};

use super::numbers::short;

/// Some bars side by side, one for each client that has a value.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) bars: Vec<(String, f64)>,
}

/// A whole picture.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) groups: Vec<Group>,
    /// Where values are too far apart to be seen beside each other.
    pub(crate) logarithmic: bool,
}

const SIZE: (u32, u32) = (1000, 420);
/// Half a dot's width.
const DOT: i32 = 6;
/// Stands in for nothing where a logarithm is taken or a range must not be empty.
const TINY: f64 = 1e-3;
const INK: RGBColor = RGBColor(60, 60, 60);
/// A client always has the same colour: xfer's stands out, the floors are grey.
const COLOURS: [(&str, RGBColor); 9] = [
    ("floor", RGBColor(150, 150, 150)),
    ("floor-lean", RGBColor(110, 110, 110)),
    ("floor-64", RGBColor(185, 185, 185)),
    ("floor-direct", RGBColor(205, 205, 205)),
    ("xfer", RGBColor(214, 73, 51)),
    ("awscrt", RGBColor(46, 97, 158)),
    ("s5cmd", RGBColor(98, 151, 112)),
    ("object-store", RGBColor(126, 104, 165)),
    ("transfer-manager", RGBColor(205, 160, 70)),
];

/// Draws a picture to a file.
///
/// # Errors
/// What the drawing library says, as text.
pub(crate) fn draw(path: &Path, plot: &Plot) -> Result<(), String> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    drawn(&area, plot).and_then(|()| area.present()).map_err(|error| error.to_string())
}

type Drawn<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Failure = plotters::drawing::DrawingAreaErrorKind<std::io::Error>;

fn drawn(area: &Drawn<'_>, plot: &Plot) -> Result<(), Failure> {
    let height = |value: f64| if plot.logarithmic { value.max(TINY).log10() } else { value };
    let values = plot.groups.iter().flat_map(|group| &group.bars).map(|(_, value)| *value);
    let (least, most) = values.fold((f64::MAX, TINY), |(least, most), value| (value.min(least), value.max(most)));
    // Room for the numbers above.
    let bottom = if plot.logarithmic { height(least.min(most)).floor() } else { 0.0 };
    let top = bottom + (height(most) - bottom).max(TINY) * 1.12;
    let columns = plot.groups.iter().map(|group| group.bars.len() + 1).sum::<usize>() as f64;
    area.fill(&WHITE)?;
    let font = |size: i32| ("sans-serif", size).into_font();
    let mut chart = ChartBuilder::on(area)
        .caption(&plot.title, font(17).color(&INK))
        .margin(12)
        .margin_right(180)
        .x_label_area_size(30)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..columns, bottom..top)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().disable_x_axis().label_style(font(12).color(&INK)).axis_style(INK.mix(0.4));
    mesh.light_line_style(WHITE.mix(0.0)).y_labels(6);
    if plot.logarithmic {
        mesh.disable_y_mesh().disable_y_axis();
    }
    mesh.draw()?;
    if plot.logarithmic {
        // A line for each power of ten.
        for power in bottom as i32..=top.floor() as i32 {
            let line = [(0.0, f64::from(power)), (columns, f64::from(power))];
            chart.draw_series([PathElement::new(line, INK.mix(0.2))])?;
            let (left, at) = chart.backend_coord(&line[0]);
            let style = font(12).color(&INK).pos(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(power_of_ten(power), (left - 6, at), style))?;
        }
    }
    let mut at = 0.5;
    for group in &plot.groups {
        for (index, (client, value)) in group.bars.iter().enumerate() {
            let left = at + index as f64;
            let (place, style) = ((left + 0.5, height(*value)), colour(client).filled());
            if plot.logarithmic {
                chart.draw_series([Circle::new(place, DOT, style)])?;
            } else {
                chart.draw_series([Rectangle::new([(left + 0.08, bottom), (left + 0.92, place.1)], style)])?;
            }
            let above = if plot.logarithmic { DOT } else { 0 };
            let (x, y) = chart.backend_coord(&place);
            let style = centred(font(11).color(&INK), VPos::Bottom);
            area.draw(&Text::new(short(*value), (x, y - above), style))?;
        }
        let middle = at + group.bars.len() as f64 / 2.0;
        let place = chart.backend_coord(&(middle, bottom));
        let style = centred(font(13).color(&INK), VPos::Top);
        area.draw(&Text::new(group.title.clone(), (place.0, place.1 + 8), style))?;
        at += group.bars.len() as f64 + 1.0;
    }
    let shown = COLOURS
        .iter()
        .filter(|(client, _)| plot.groups.iter().any(|group| group.bars.iter().any(|(name, _)| name == client)));
    for ((client, colour), row) in shown.zip(0..) {
        let (left, top) = (SIZE.0 as i32 - 170, 60 + 22 * row);
        area.draw(&Rectangle::new([(left, top), (left + 14, top + 14)], colour.filled()))?;
        area.draw(&Text::new(*client, (left + 22, top + 1), font(13).color(&INK)))?;
    }
    Ok(())
}

/// As people write it.
fn power_of_ten(power: i32) -> String {
    format!("{:.*}", usize::try_from(-power).unwrap_or(0), 10f64.powi(power))
}

fn centred(style: TextStyle<'_>, vertical: VPos) -> TextStyle<'_> {
    style.pos(Pos::new(HPos::Center, vertical)).transform(FontTransform::None)
}

fn colour(client: &str) -> RGBColor {
    COLOURS.iter().find(|(name, _)| *name == client).map_or(INK, |(_, colour)| *colour)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn every_bar_and_name_is_in_the_picture() {
        let folder = tempfile::tempdir().unwrap();
        for logarithmic in [false, true] {
            let path = folder.path().join(format!("{logarithmic}.svg"));
            let bars = vec![("floor".to_owned(), 1.25), ("xfer".to_owned(), 1.5)];
            let groups = vec![
                Group { title: "Download".to_owned(), bars: bars.clone() },
                Group { title: "Upload".to_owned(), bars: bars[1..].to_vec() },
            ];
            draw(&path, &Plot { title: "Processor".to_owned(), groups, logarithmic }).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.trim_end().ends_with("</svg>"));
            for wanted in ["Processor", "Download", "Upload", "1.25", "1.50", "floor", "xfer"] {
                assert!(text.contains(wanted), "{wanted} is missing");
            }
            assert_eq!(text.matches("fill=\"#D64933\"").count(), 3, "two bars or dots and the legend");
            assert_eq!(text.matches("<circle").count(), if logarithmic { 3 } else { 0 });
        }
    }

    #[test]
    fn a_logarithmic_scale_has_its_powers_of_ten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.svg");
        let bars = vec![("floor".to_owned(), 17.0), ("xfer".to_owned(), 840.0)];
        let groups = vec![Group { title: "Download".to_owned(), bars }];
        draw(&path, &Plot { title: "Time".to_owned(), groups, logarithmic: true }).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let shown: Vec<&str> =
            text.lines().map(str::trim).filter(|line| ["10", "100", "1000"].contains(line)).collect();
        assert_eq!(shown, ["10", "100", "1000"], "{text}");
        assert_eq!([-2, 0, 3].map(power_of_ten), ["0.01", "1", "1000"]);
    }
}
