"""A mail server that keeps what it is sent: SMTP with STARTTLS and AUTH PLAIN (RFC 5321, RFC 3207, RFC 4954)."""

import base64
import ssl

import runbook_wire


class Mail(runbook_wire.Listener):
    def __init__(self, certificate, key, login):
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(certificate, key)
        self.login, self.messages = login, []
        super().__init__()

    def serve(self, client):
        lines, secure, known = client.makefile("rb"), False, False

        def say(text):
            client.sendall(text.encode() + b"\r\n")
        say("220 mail.test ESMTP")
        while line := lines.readline().decode().strip():
            verb = line.split()[0].upper()
            if verb == "EHLO":
                say("250-mail.test")
                say("250 AUTH PLAIN" if secure else "250 STARTTLS")
            elif verb == "STARTTLS":
                say("220 go on")
                client = self.context.wrap_socket(client, server_side=True)
                lines, secure = client.makefile("rb"), True
            elif verb == "AUTH":
                _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
                known = (user, password) == self.login
                say("235 welcome" if known else "535 no")
            elif verb == "DATA" and known:
                say("354 end with a dot")
                message = b""
                while (part := lines.readline()) != b".\r\n":
                    message += part
                self.messages.append(message.decode())
                say("250 kept")
            elif verb in ("MAIL", "RCPT") and known:
                say("250 fine")
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("530 log in first")
