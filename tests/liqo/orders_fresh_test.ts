/** Orders of steps without Liqo's own proxy, with Liqo's own controllers. */
import { assertEquals, assertNotEquals } from "@std/assert";
import { test } from "../harness/test.ts";
import { LiqoCluster } from "./liqo_cluster.ts";
import { assertLasting, chartOf, IP, OURS, skip, THEIRS } from "./orders.ts";

test("orders without Liqo's proxy: the IP made by Liqo, and made by the chart", async () => {
  await using liqo = await LiqoCluster.start("cl02");
  const chart = await chartOf(liqo);
  await liqo.installLiqo({ enabled: false });
  await liqo.startAddressManager();
  const waiting = liqo.launchControllerManager();
  await waiting.stderr.find((line) => line.includes("no proxy service found"));
  assertEquals(await waiting.ended(), 1);

  await liqo.helm("install", "api-server-proxy", chart);
  await liqo.startControllerManager();
  const first = await assertLasting(liqo, OURS);
  await liqo.helm("upgrade", "api-server-proxy", chart, "--reuse-values");
  assertEquals(await assertLasting(liqo, OURS), first);

  await liqo.helm("uninstall", "api-server-proxy");
  await liqo.kubectl.output(["delete", ...IP]);
  await liqo.stopControllerManager();
  await liqo.helm("install", "api-server-proxy", chart);
  await liqo.helm("upgrade", "api-server-proxy", chart, "--reuse-values");
  assertNotEquals((await liqo.proxy()).local, "");
  await liqo.startControllerManager();
  const second = await assertLasting(liqo, OURS);
  await liqo.helm("uninstall", "api-server-proxy");
  await liqo.helm("install", "api-server-proxy", chart);
  assertEquals(await assertLasting(liqo, OURS), second);

  // To Liqo's proxy, with another address for peers.
  await liqo.helm("uninstall", "api-server-proxy");
  await liqo.kubectl.output(["delete", ...IP]);
  await liqo.installLiqo({ enabled: true });
  await liqo.restartControllerManager();
  await assertLasting(liqo, THEIRS);
}, { skip });
