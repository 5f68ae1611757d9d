import { assertEquals, assertRejects } from "@std/assert";
import { connectToFirst } from "../../lib/proxy/race.ts";
import { test } from "../harness/test.ts";

test("connectToFirst() ends though it is aborted at the moment in which it is connected", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const abort = new AbortController();
  const { connect } = Deno;
  let conn: Deno.Conn | undefined;
  Deno.connect = (async (options: Deno.ConnectOptions) => {
    conn = await connect({ hostname: "127.0.0.1", port: options.port });
    abort.abort(new Error("stopped"));
    return conn;
  }) as typeof connect;
  try {
    const connected = connectToFirst(["127.0.0.1", "::1"], port, abort.signal);
    await assertRejects(() => connected, Error, "stopped");
  } finally {
    Deno.connect = connect;
  }
  using far = await listener.accept();
  assertEquals(await far.read(new Uint8Array(1)), null);
});
