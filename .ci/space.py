"""Start the Space's entry file as a Space does and compare one prompt through its API; exit status 1 when it fails."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from gradio_client import Client

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    front = (ROOT / "README.md").read_text(encoding="utf-8").split("---")[1]
    entry = re.search(r"^app_file: (\S+)$", front, re.MULTILINE)
    assert entry, "the README's front matter names no app_file"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
    server = subprocess.Popen([sys.executable, entry[1]], cwd=ROOT, env=environment)
    try:
        for _ in range(120):
            assert server.poll() is None, f"{entry[1]} ended with status {server.returncode}"
            try:
                urllib.request.urlopen(url, timeout=2).close()
                break
            except OSError:
                time.sleep(1)
        answer = Client(url, verbose=False).predict(api_name="/compare", **ARGUMENTS)
        plain, steered = answer["plain"]["text"].strip(), answer["steered"]["text"].strip()
        print(f"plain: {plain}\nsteered: {steered}")
        assert plain.startswith("golf"), "the plain answer is not the model's own"
        assert steered.startswith("chess"), "the steered answer does not follow the mark"
    finally:
        server.terminate()
        server.wait(20)
    return 0


ARGUMENTS = {"prompt": "Previously **Ada played chess**. Currently Ada plays golf. Ada is a player of"}

if __name__ == "__main__":
    sys.exit(main())
