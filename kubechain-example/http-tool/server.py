"""A small weather service for the examples: `python3 server.py [PORT]` prints its address and serves.

It answers who sends `Authorization: Bearer sunshine`, and nobody else.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

WEATHER = {"Oslo": "snow, -3 C", "Rome": "sun, 24 C"}


class Weather(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        words = [unquote(word) for word in url.path.split("/")[1:]]
        if self.headers["Authorization"] != "Bearer sunshine":
            self.say(401, {"error": "send the right token"})
        elif words == ["cities"]:
            starting = parse_qs(url.query).get("starting", [""])[0]
            self.say(200, [city for city in WEATHER if city.startswith(starting)])
        elif len(words) == 2 and words[0] == "weather" and words[1] in WEATHER:
            self.say(200, {"city": words[1], "now": WEATHER[words[1]]})
        else:
            self.say(404, {"error": f"nobody knows {'/'.join(words)}"})

    def say(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Weather)
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
