"""A Fairlead worker in plain mode: any HTTP server will do. POST /jobs/<type>, one job a request."""
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BUSY = iter([429, 200])


class Worker(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        payload = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/jobs/sum":
            self.answer(200, {"sum": sum(payload), "job": self.headers["fairlead-job"]})
        elif self.path == "/jobs/busy":
            self.answer(next(BUSY), "told")
        else:
            self.answer(422, {"error": "this payload can never work"})

    def answer(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


server = ThreadingHTTPServer(("127.0.0.1", 0), Worker)
print(server.server_port, flush=True)
server.serve_forever()
