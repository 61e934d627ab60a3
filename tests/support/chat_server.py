"""A chat endpoint on localhost that answers by script: well, wrongly, garbage, or not at all."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Script:
    """How to answer the n-th request for a prompt, and what was asked.

    `answer(record, attempt)` returns the content, an HTTP status, or None to hang.
    """

    def __init__(self, answer, *, knows_schemas=True):
        self.answer, self.knows_schemas = answer, knows_schemas
        self.requests = []
        self.together = self.most_together = 0
        self.lock = threading.Lock()

    def reply(self, body):
        record = json.loads(body["messages"][-1]["content"].removeprefix("Record:\n"))
        with self.lock:
            key = body["messages"][-1]["content"]
            attempt = sum(asked["messages"][-1]["content"] == key for asked in self.requests)
            self.requests.append(body)
        return self.answer(record, attempt)


@contextmanager
def chat_server(script):
    """Serve the script; yields the base URL."""
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if "response_format" in body and not script.knows_schemas:
                return self._send(400, {"error": {"message": "response_format: unknown"}})
            with script.lock:
                script.together += 1
                script.most_together = max(script.together, script.most_together)
            time.sleep(0.01)
            content = script.reply(body)
            with script.lock:
                script.together -= 1
            if content is None:
                released.wait(10)
                return None
            if isinstance(content, int):
                return self._send(content, {"error": {"message": "scripted failure"}})
            choice = {"index": 0, "message": {"role": "assistant", "content": content}}
            return self._send(200, {"id": "1", "object": "chat.completion", "choices": [choice]})

        def _send(self, status, values):
            data = json.dumps(values).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        released.set()
        server.shutdown()
        server.server_close()
