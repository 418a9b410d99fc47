// The reference client of the Web of Things, and the JSON Schema that W3C publishes for Thing Descriptions.
"use strict";
const { createRequire } = require("node:module");
const [packages, url, token] = process.argv.slice(2);
const from = createRequire(packages + "/package.json");
const { Servient } = from("@node-wot/core");
const { HttpClientFactory } = from("@node-wot/binding-http");
const Ajv = from("ajv").default;
const formats = from("ajv-formats").default;
const schema = from("wot-thing-description-types/schema/td-json-schema-validation.json");

const headers = { Authorization: `Bearer ${token}` };
const told = {};

function within(promise, what) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`${what} never came`)), 20000).unref());
  return Promise.race([promise, late]);
}

async function fetched(path) {
  const answer = await fetch(url + path, { headers });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function sendLevel(number, level) {
  const event = { specversion: "1.0", id: `foreign-${number}`, type: "gemel.observation", source: "/tests" };
  Object.assign(event, { time: `2024-01-02T00:${String(number).padStart(2, "0")}:00Z`, data: { level } });
  const answer = await fetch(`${url}/api/v1/twins/tank/sources/gauge/events`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/cloudevents+json" },
    body: JSON.stringify(event),
  });
  if (answer.status !== 202) throw new Error(await answer.text());
}

function validated() {
  const ajv = new Ajv({ strict: false, allErrors: true });
  formats(ajv);
  return ajv.compile(schema);
}

async function main() {
  const check = validated();
  const descriptions = [...(await fetched("/wot/things")), await fetched("/.well-known/wot")];
  told.version = schema.version;
  told.invalid = descriptions.filter((item) => !check(item)).map((item) => [item.title, check.errors]);
  // The schema does refuse: a Thing without a title, and an event without forms.
  told.refused = [{ ...descriptions[0], title: undefined }, { ...descriptions[0], events: { odd: {} } }].map(
    (item) => !check(JSON.parse(JSON.stringify(item))),
  );

  const servient = new Servient();
  servient.addClientFactory(new HttpClientFactory());
  servient.addCredentials(Object.fromEntries(descriptions.map((item) => [item.id, { token }])));
  const wot = await servient.start();
  const things = {};
  for (const description of descriptions) {
    things[description.links.find((link) => link.rel === "alternate")?.href.split("/").pop() ?? "engine"] =
      await wot.consume(description);
  }
  const { brook, tank } = things;
  told.things = Object.keys(things).sort();

  told.read = {};
  for (const name of Object.keys(brook.getThingDescription().properties)) {
    told.read[name] = await (await brook.readProperty(name)).value();
  }
  told.all = {};
  for (const [name, output] of await brook.readAllProperties()) told.all[name] = await output.value();

  told.whatif = await (await brook.invokeAction("whatif", { rain: 2 })).value();
  told.run = await (await brook.invokeAction("run", { graph: "forecast", parameters: { rain: 0.5 } })).value();
  told.called = await (await tank.invokeAction("call.noting", { parameters: { what: "hello" }, key: "k1" })).value();
  told.again = await (await tank.invokeAction("call.noting", { parameters: { what: "hello" }, key: "k1" })).value();

  let heard;
  const updated = new Promise((resolve) => (heard = resolve));
  const alerts = [];
  const updates = await tank.subscribeEvent("updated", async (data) => heard(await data.value()));
  const alerting = await tank.subscribeEvent("alert", async (data) => alerts.push(await data.value()));
  let seen;
  const observed = new Promise((resolve) => (seen = resolve));
  await sendLevel(1, 4.0);
  told.updated = await within(updated, "the event 'updated'");
  const level = await wot.consume(await fetched("/wot/things/tank"));
  const observing = await level.observeProperty("gauge.level", async (data) => seen(await data.value()));
  await sendLevel(2, 6.5);
  told.observed = await within(observed, "the observed level");
  const alerted = async () => {
    while (!alerts.length) await new Promise((resolve) => setTimeout(resolve, 20));
    return alerts[0];
  };
  told.alert = await within(alerted(), "the alert");
  await updates.stop();
  await alerting.stop();
  await observing.stop();
  await servient.shutdown();
  console.log(JSON.stringify(told));
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
