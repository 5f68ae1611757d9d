import { assertEquals } from "@std/assert";
import { type Linked, LinkedList } from "../../lib/proxy/linked_list.ts";

class Item implements Linked<Item> {
  list: LinkedList<Item> | undefined;
  previous: Item | undefined;
  next: Item | undefined;
  constructor(readonly name: string) {}
}

function listOf(...items: Item[]): LinkedList<Item> {
  const list = new LinkedList<Item>();
  for (const item of items) list.add(item);
  return list;
}

/** Its names as it gives them, after looking whether both directions agree. */
function namesIn(list: LinkedList<Item>): string {
  const items = [...list];
  assertEquals(items.map(({ previous }) => previous), [undefined, ...items].slice(0, items.length));
  assertEquals(items.every((item) => item.list === list), true);
  assertEquals({ first: list.first, size: list.size }, { first: items[0], size: items.length });
  return items.map(({ name }) => name).join("");
}

Deno.test("LinkedList keeps the order in which items have joined, whoever leaves", () => {
  for (const leaving of ["", "a", "b", "c", "ab", "ca", "bc", "abc", "cba"]) {
    const items = new Map([..."abc"].map((name) => [name, new Item(name)]));
    const list = listOf(...items.values());
    for (const name of leaving) list.remove(items.get(name)!);
    const left = [..."abc"].filter((name) => !leaving.includes(name)).join("");
    assertEquals(namesIn(list), left, `without ${leaving}`);
    list.add(new Item("d"));
    assertEquals(namesIn(list), `${left}d`, `without ${leaving}`);
  }
});

Deno.test("LinkedList: an item that has left knows nobody there, and can join another list", () => {
  const item = new Item("b");
  const from = listOf(new Item("a"), item, new Item("c")), to = listOf(new Item("x"));
  from.remove(item);
  assertEquals([item.list, item.previous, item.next], [undefined, undefined, undefined]);
  to.add(item);
  assertEquals([namesIn(from), namesIn(to)], ["ac", "xb"]);
});

Deno.test("LinkedList gives every item though each leaves, and joins another list, as it comes", () => {
  const from = listOf(...[..."abcd"].map((name) => new Item(name))), to = listOf();
  for (const item of from) {
    from.remove(item);
    to.add(item);
  }
  assertEquals([namesIn(from), namesIn(to)], ["", "abcd"]);
});
