/**
 * An upstream as a process that can be killed and frozen: `upstream.ts INDEX PORT MODE`. It says its
 * index first and then sends back what comes.
 */
const [index = "0", port = "0", mode = "echo"] = Deno.args;
const listener = Deno.listen({ hostname: "127.0.0.1", port: Number(port) });
const greeting = new TextEncoder().encode(index);

async function writeAll(conn: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await conn.write(bytes.subarray(sent));
}

async function serve(conn: Deno.TcpConn): Promise<void> {
  try {
    const buffer = new Uint8Array(mode === "slow" ? 4 * 1024 : 64 * 1024);
    // Closed with bytes unread, a socket is reset.
    if (mode === "reset") return void await conn.read(buffer.subarray(0, 1));
    await writeAll(conn, greeting);
    for (let count; (count = await conn.read(buffer)) !== null;) {
      if (mode === "slow") await new Promise((resolve) => setTimeout(resolve, 5));
      await writeAll(conn, buffer.subarray(0, count));
    }
  } catch {
    // Its peer is gone.
  } finally {
    conn.close();
  }
}

console.log("listening");
for (;;) void serve(await listener.accept());
