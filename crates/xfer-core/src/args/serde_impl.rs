//! Serde for [`ExtraArgs`]: a JSON object with the S3 API's names.
//!
//! Never judges a name (validation does), but refuses what no argument can be: a null, a fraction, a list, a name given twice.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{ArgValue, ExtraArgs};

impl Serialize for ArgValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ArgValue::Text(text) => serializer.serialize_str(text),
            ArgValue::Flag(flag) => serializer.serialize_bool(*flag),
            ArgValue::Number(number) => serializer.serialize_i64(*number),
            ArgValue::Map(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                for (name, value) in pairs {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for ArgValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ArgValue, D::Error> {
        struct Value;

        impl<'de> Visitor<'de> for Value {
            type Value = ArgValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, true or false, a whole number, or an object of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ArgValue, E> {
                Ok(ArgValue::Text(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<ArgValue, E> {
                Ok(ArgValue::Flag(flag))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<ArgValue, E> {
                Ok(ArgValue::Number(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<ArgValue, E> {
                i64::try_from(number).map(ArgValue::Number).map_err(|_| E::custom("a number is too large"))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ArgValue, A::Error> {
                let mut pairs: Vec<(String, String)> = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(ArgValue::Map(pairs))
            }
        }

        deserializer.deserialize_any(Value)
    }
}

impl Serialize for ExtraArgs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for ExtraArgs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ExtraArgs, D::Error> {
        struct Args;

        impl<'de> Visitor<'de> for Args {
            type Value = ExtraArgs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of extra arguments")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ExtraArgs, A::Error> {
                let mut args = ExtraArgs::new();
                while let Some(name) = map.next_key::<String>()? {
                    if args.get(&name).is_some() {
                        return Err(de::Error::custom(format_args!("{name} is given twice")));
                    }
                    args.set(name, map.next_value::<ArgValue>()?);
                }
                Ok(args)
            }
        }

        deserializer.deserialize_map(Args)
    }
}
