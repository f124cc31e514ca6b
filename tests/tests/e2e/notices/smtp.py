"""A mail server with TLS and a login, made of aiosmtpd: CERTIFICATE KEY MODE PORT-FILE LOG.

MODE is tls, starttls or plain (no encryption at all). Each mail is one line of JSON in LOG.
"""

import asyncio
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

certificate, key, mode, port_file, log = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("unknown@"):
            return "550 5.1.1 No such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None or mode == "tls",
            "login": session.authenticated,
            "content": envelope.content.decode("utf-8"),
        }
        with open(log, "a", encoding="utf-8") as file:
            file.write(json.dumps(mail) + "\n")
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = data.login == b"sealcard" and data.password == b"open-sesame-2207"
    # Not handled: the library answers 535 by itself.
    return AuthResult(success=good, handled=good)


def protocol():
    starttls = mode == "starttls"
    return SMTP(
        Handler(),
        hostname="localhost",
        authenticator=authenticate,
        auth_required=mode != "plain",
        auth_require_tls=starttls,
        tls_context=context if starttls else None,
        require_starttls=starttls,
    )


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=context if mode == "tls" else None)
    with open(port_file + ".new", "w", encoding="ascii") as file:
        file.write(str(server.sockets[0].getsockname()[1]))
    os.rename(port_file + ".new", port_file)
    await server.serve_forever()


asyncio.run(main())
