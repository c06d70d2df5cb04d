"""Delays a TCP connection: what the kernel's netem does, for kernels that lack it.

    python bench/relay.py DELAY_MS LISTEN_PORT HOST PORT [LISTEN_PORT HOST PORT ...]

Bytes are handed on, in both directions, no earlier than the delay after they came in.
"""

from __future__ import annotations

import asyncio
import sys

_CHUNK = 1 << 18
_MOST_WAITING = 64


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MOST_WAITING)

    async def take() -> None:
        while data := await reader.read(_CHUNK):
            await waiting.put((loop.time() + delay, data))
        await waiting.put((loop.time() + delay, b""))

    task = asyncio.create_task(take())
    try:
        while True:
            due, data = await waiting.get()
            if (left := due - loop.time()) > 0:
                await asyncio.sleep(left)
            if not data:
                break
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        task.cancel()
        writer.close()


async def _serve(delay: float, port: int, host: str, target: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(host, target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(
            _pump(reader, far_writer, delay),
            _pump(far_reader, writer, delay),
            return_exceptions=True,
        )

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


async def _main(words: list[str]) -> None:
    delay = float(words[0]) / 1000
    routes = [words[i : i + 3] for i in range(1, len(words), 3)]
    await asyncio.gather(*(_serve(delay, int(p), h, int(t)) for p, h, t in routes))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
