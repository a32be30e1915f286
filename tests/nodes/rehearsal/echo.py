"""What tests run on hosts: `serve`, `ask` and `hold`, with an address."""

import selectors
import socket
import sys
import time

PORT = 7
ASK_S = 0.15
BEAT_S = 0.03
QUIET_S = 0.25


def say(*words: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{' '.join(words)}\n")
    sys.stdout.flush()


def serve(address: str) -> None:
    """Send back what comes, by UDP and TCP, and say what came by UDP."""
    udp, tcp = (socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM))
    udp.bind((address, PORT))
    tcp.bind((address, PORT))
    tcp.listen()
    selector = selectors.DefaultSelector()
    for sock in (udp, tcp):
        selector.register(sock, selectors.EVENT_READ)
    say("ready")
    while True:
        for key, _ in selector.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if sock is udp:
                data, source = udp.recvfrom(1500)
                say("got", data.decode())
                udp.sendto(data, source)
            elif sock is tcp:
                selector.register(tcp.accept()[0], selectors.EVENT_READ)
            elif data := sock.recv(1500):
                sock.sendall(data)
            else:
                selector.unregister(sock)


def ask(address: str, word: str) -> None:
    """Send a word by UDP, on a connected socket, which hears of errors; say what came of it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(ASK_S)
        sock.connect((address, PORT))
        try:
            sock.send(word.encode())
            say("answer", sock.recv(1500).decode())
        except TimeoutError:
            say("silence")
        except OSError as error:
            say("error", str(error.strerror))


def probe(address: str, n: str) -> None:
    """Send so many words by UDP, one every few ms; say how many came back, and after how many ms the first did."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, PORT))
        sent, took = {}, []
        for word in range(int(n)):
            sent[word] = time.monotonic()
            sock.send(str(word).encode())
            time.sleep(BEAT_S / 10)
        sock.settimeout(QUIET_S)
        try:
            while len(took) < len(sent):
                word = int(sock.recv(1500))
                took.append(time.monotonic() - sent[word])
        except TimeoutError:
            pass
        say(f"{len(took)} {took[0] * 1000 if took else 0:.0f}")


def hold(address: str) -> None:
    """Talk over one TCP connection; say when the other end talks, when it falls quiet, and how the connection ends."""
    with socket.create_connection((address, PORT)) as sock:
        sock.settimeout(BEAT_S)
        heard_s, is_heard = time.monotonic(), False
        while True:
            try:
                sock.send(b"x")
                if not sock.recv(1500):
                    return say("end")
                heard_s = time.monotonic()
            except TimeoutError:
                pass
            except OSError as error:
                return say(str(error.strerror))
            if is_heard != (time.monotonic() - heard_s < QUIET_S):
                is_heard = not is_heard
                say("talks" if is_heard else "quiet")
            time.sleep(BEAT_S)


if __name__ == "__main__":
    {"serve": serve, "ask": ask, "hold": hold, "probe": probe}[sys.argv[1]](*sys.argv[2:])
