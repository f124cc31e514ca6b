"""A receiver of Standard Webhooks behind TLS: CERTIFICATE KEY SECRET ANSWER PORT-FILE LOG.

The file ANSWER holds the status of the next answers, or never. Each request is one line of JSON in LOG, which says
whether its signature is right.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import ssl
import sys
import time

certificate, key, secret, answer, port_file, log = sys.argv[1:]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        id, timestamp = self.headers["webhook-id"], self.headers["webhook-timestamp"]
        signed = f"{id}.{timestamp}.".encode() + body
        raw = base64.b64decode(secret.removeprefix("whsec_"))
        expected = "v1," + base64.b64encode(hmac.new(raw, signed, hashlib.sha256).digest()).decode()
        right = any(hmac.compare_digest(one, expected) for one in self.headers["webhook-signature"].split(" "))
        fresh = abs(time.time() - int(timestamp)) < 300
        with open(log, "a", encoding="utf-8") as file:
            file.write(json.dumps({"id": id, "verified": right and fresh, "body": json.loads(body)}) + "\n")
        with open(answer, encoding="ascii") as file:
            status = file.read().strip()
        if status == "never":
            time.sleep(3600)
        self.send_response(int(status))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
# The handshake belongs to the thread of its connection.
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
with open(port_file + ".new", "w", encoding="ascii") as file:
    file.write(str(server.server_address[1]))
os.rename(port_file + ".new", port_file)
server.serve_forever()
