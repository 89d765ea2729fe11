// The JavaScript client against a real server: `node --test`, run by test_stream_client.py.

import assert from "node:assert/strict";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

const { ORIGIN, TOKEN, SHORT_TOKEN, MODULE } = process.env;
const { EvaraStream, EventParser, pauseMs } = await import(pathToFileURL(MODULE).href);

// What only the server's side can do, it does when it is asked.
const tell = async (what, body = {}) => {
  const response = await fetch(`${ORIGIN}/test/${what}`, { method: "POST", body: JSON.stringify(body) });
  assert.equal(response.status, 200);
};

async function until(holds, ms = 15_000) {
  const deadline = Date.now() + ms;
  while (!holds()) {
    assert.ok(Date.now() < deadline, `never: ${holds}`);
    await new Promise((wake) => setTimeout(wake, 5));
  }
}

function follow(t, transport, options = {}) {
  const heard = { events: [], snapshots: [], states: [] };
  const stream = new EvaraStream({
    url: `${ORIGIN}/api/v1/stream${transport === "websocket" ? "/socket" : ""}`,
    transport,
    token: async () => TOKEN,
    snapshot: async () => {
      const answer = await fetch(`${ORIGIN}/api/v1/stream/snapshot`, { headers: { Authorization: `Bearer ${TOKEN}` } });
      return (await answer.json()).data;
    },
    onEvent: (event) => heard.events.push(event),
    onSnapshot: (snapshot) => heard.snapshots.push(snapshot),
    onState: (state, detail) => heard.states.push([state, detail]),
    firstPauseMs: 1,
    longestPauseMs: 20,
    ...options,
  });
  t.after(() => stream.stop());
  heard.ids = () => heard.events.filter(({ event }) => event === "alert").map(({ id }) => id);
  heard.was = (state) => heard.states.some(([name]) => name === state);
  return { stream, heard };
}

for (const transport of ["sse", "websocket"]) {
  const name = (what) => `${transport}-${what}`;

  test(`${transport}: a snapshot first, then what comes after it`, async (t) => {
    const { stream, heard } = follow(t, transport);
    stream.start();
    await until(() => heard.was("live"));

    await tell("publish", { alerts: [name("a")], readings: [[1, name("n")], [2, name("n")]] });

    await until(() => heard.ids().includes(name("a")));
    await until(() => stream.latest.get(`reading:${name("n")}`)?.data.n === 2);
    assert.equal(heard.snapshots.length, 1);
    assert.equal(heard.snapshots[0].data.for, "boss");
  });

  test(`${transport}: after a cut nothing is missing and nothing comes twice`, async (t) => {
    const { stream, heard } = follow(t, transport);
    stream.start();
    await until(() => heard.was("live"));
    const wanted = [];

    for (let round = 0; round < 5; round += 1) {
      const ids = [0, 1, 2].map((number) => name(`cut-${round}-${number}`));
      wanted.push(...ids);
      await tell("publish", { alerts: ids });
      await tell("cut");
    }

    await until(() => heard.ids().length >= wanted.length);
    assert.deepEqual(heard.ids(), wanted);
    assert.equal(heard.snapshots.length, 1);
  });

  test(`${transport}: a gap brings a new snapshot`, async (t) => {
    const { stream, heard } = follow(t, transport);
    stream.start("e-999999");

    await until(() => heard.snapshots.length === 1);
    await until(() => heard.was("gap"));
    await tell("publish", { alerts: [name("after-gap")] });
    await until(() => heard.ids().includes(name("after-gap")));
  });

  test(`${transport}: a selection narrows`, async (t) => {
    const select = { mine: { kinds: ["alert"], topics: [`node:${name("x")}`] } };
    const { stream, heard } = follow(t, transport, { select });
    stream.start();
    await until(() => heard.was("live"));

    await tell("publish", { alerts: [name("not")], node_alerts: [[name("yes"), name("x")]], readings: [[1, name("x")]] });

    await until(() => heard.events.length > 0);
    assert.deepEqual(heard.events.map(({ id }) => id), [name("yes")]);
  });

  test(`${transport}: a later selection is heard, too`, async (t) => {
    const { stream, heard } = follow(t, transport, { select: { none: { kinds: ["nothing"] } } });
    stream.start();
    await until(() => heard.was("live"));

    stream.subscribe("more", { kinds: ["alert"] });
    await until(() => heard.was("subscribed") || heard.states.filter(([state]) => state === "live").length === 2);
    await tell("publish", { alerts: [name("later")] });

    await until(() => heard.ids().includes(name("later")));
  });

  test(`${transport}: who is not known is told so, and does not come back`, async (t) => {
    const { stream, heard } = follow(t, transport, { token: () => "nonsense", snapshot: null });
    stream.start();

    await until(() => heard.was("ended"));
  });

  test(`${transport}: a token that ends, ends the stream for good`, async (t) => {
    const { stream, heard } = follow(t, transport, { token: () => SHORT_TOKEN, snapshot: null });
    stream.start();

    await until(() => heard.was("ended"));
    const [, error] = heard.states.find(([state]) => state === "ended");
    assert.ok(error.code === "TOKEN_EXPIRED" || error.code === "UNAUTHENTICATED" || error.status === 401, String(error));
  });
}

test("pauses grow up to a limit, and each is another while", () => {
  const options = { firstPauseMs: 100, longestPauseMs: 1_000, random: () => 0.5 };

  assert.deepEqual([0, 1, 2, 3, 4, 40].map((failures) => pauseMs(failures, options)), [50, 100, 200, 400, 500, 500]);
  assert.equal(pauseMs(3, { ...options, random: () => 0 }), 0);
});

test("events are read wherever the pieces are cut", () => {
  const text = ":\nid: p1\n\nid: p2\nevent: alert\ndata: {\"a\":\ndata: 1}\n\nretry: 70\r\n\r\nid: p3\r\nevent: node\r\ndata: {}\r\n\r\n";

  for (let cut = 1; cut < text.length; cut += 1) {
    const parser = new EventParser();
    const found = [...parser.feed(text.slice(0, cut)), ...parser.feed(text.slice(cut))];
    assert.deepEqual(found.map(({ event, data, lastId }) => [event, data, lastId]), [["alert", '{"a":\n1}', "p2"], ["node", "{}", "p3"]], String(cut));
    assert.equal(parser.retryMs, 70);
  }
});
