"""What .ci/seaweedfs and .ci/moto have in common: a store's server is started on free loopback ports for one command, and removed behind it.

The command finds the store in XFER_TEST_ENDPOINT, XFER_TEST_ACCESS_KEY, XFER_TEST_SECRET_KEY, XFER_TEST_REGION, XFER_TEST_BUCKET
(made before) and XFER_TEST_PROFILE. The exit status is the command's; the server's log is shown when the server fails.
"""

import argparse
import hashlib
import hmac
import http.client
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ACCESS_KEY, SECRET_KEY, REGION, BUCKET = "xfer-test", "xfer-test-secret", "us-east-1", "xfer-e2e"
READY_WITHIN = 120
ATTEMPTS = 3


def is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def free_ports(count, beside=()):
    """Ports below those that the kernel gives to outgoing connections; for each distance in `beside`, the port so much higher is free too."""
    found = []
    while len(found) < count:
        port = random.randrange(11_000, 21_000)
        if port not in found and all(is_free(port + distance) for distance in (0, *beside)):
            found.append(port)
    return found


def put_bucket(port):
    """PUT /BUCKET, signed: the answer's status, or None while nobody answers."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{now[:8]}/{REGION}/s3/aws4_request"
    nothing = hashlib.sha256(b"").hexdigest()
    headers = {"host": f"127.0.0.1:{port}", "x-amz-content-sha256": nothing, "x-amz-date": now}
    signed = ";".join(headers)
    canonical = "\n".join(["PUT", f"/{BUCKET}", "", *(f"{name}:{value}" for name, value in headers.items()), "", signed, nothing])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + SECRET_KEY).encode()
    for piece in scope.split("/"):
        key = hmac.digest(key, piece.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={signed}, Signature={signature}"
    )
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("PUT", f"/{BUCKET}", headers=headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Server:
    """One server process and its folder; both are gone when this is closed. A store says how it is started, and what else it leaves."""

    # The profile of tests/tests/common/store.rs, and what the executable is called on PATH.
    name = executable = None

    def __init__(self, executable):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"xfer-{self.name}-"))
        self.log = self.folder / "log"
        command, environment = self.prepare(executable)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def prepare(self, executable):
        """Sets `port`, and gives the command and what its environment has besides ours."""
        raise NotImplementedError

    def clean_up(self):
        """Removes what the server has left outside its folder."""

    def wait_until_ready(self):
        """True when the bucket is there; the port may open before the server is ready to be written to."""
        until = time.monotonic() + READY_WITHIN
        while time.monotonic() < until and self.process.poll() is None:
            if put_bucket(self.port) in (200, 409):
                return True
            time.sleep(0.2)
        return False

    def close(self):
        """An orderly end is of no use: everything is thrown away."""
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.clean_up()


def start(store, executable):
    for attempt in range(ATTEMPTS):
        server = store(executable)
        try:
            if server.wait_until_ready():
                return server
            tail = server.log.read_text(errors="replace").splitlines()[-20:]
        except BaseException:
            server.close()
            raise
        server.close()
        print(f"{store.name}: did not start (attempt {attempt + 1} of {ATTEMPTS}):", *tail, sep="\n  ", file=sys.stderr)
    sys.exit(1)


def main(store, description):
    """Runs the command line's command against a server of this kind."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    on_path = shutil.which(store.executable)
    parser.add_argument("--server", default=on_path, help=f"the executable; default: `{store.executable}` on PATH")
    parser.add_argument("command", nargs="+", help="what to run, behind --")
    arguments = parser.parse_args()
    if arguments.server is None:
        parser.error(f"there is no `{store.executable}` on PATH: use --server")
    # So that the server goes with this script, whoever ends it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.monotonic()
    server = start(store, arguments.server)
    try:
        print(f"{store.name}: ready after {time.monotonic() - begun:.1f} s on port {server.port}", flush=True)
        environment = os.environ | {
            "XFER_TEST_ENDPOINT": f"http://127.0.0.1:{server.port}",
            "XFER_TEST_ACCESS_KEY": ACCESS_KEY,
            "XFER_TEST_SECRET_KEY": SECRET_KEY,
            "XFER_TEST_REGION": REGION,
            "XFER_TEST_BUCKET": BUCKET,
            "XFER_TEST_PROFILE": store.name,
        }
        status = subprocess.run(arguments.command, env=environment).returncode
        if status != 0 and server.process.poll() is not None:
            print(f"{store.name}: the server died:", server.log.read_text(errors="replace")[-4000:], file=sys.stderr)
    finally:
        server.close()
    sys.exit(status if status >= 0 else 128 - status)
