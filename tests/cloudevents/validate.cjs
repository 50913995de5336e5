// Reads a batch of events (JSON) from standard input, and prints what the SDK of CloudEvents has against each, as JSON.
//
//     node validate.cjs FOLDER_OF_NODE_MODULES < batch.json
"use strict";

const path = require("node:path");
const sdk = path.join(process.argv[2], "cloudevents");
const { CloudEvent, HTTP } = require(sdk);
const schema = require(path.join(sdk, "dist", "schema", "v1.js"));

const body = require("node:fs").readFileSync(0, "utf-8");
const headers = { "content-type": "application/cloudevents-batch+json; charset=UTF-8" };

function problem(event) {
  // The schema that comes with it, for what is missing: the object would be given an id and a time of its own.
  if (!schema(event)) return JSON.stringify(schema.errors);
  try {
    new CloudEvent(event, true);
    const [read] = HTTP.toEvent({ headers, body: JSON.stringify([event]) });
    return read.validate() ? "" : "not valid";
  } catch (error) {
    return String(error.message);
  }
}

process.stdout.write(JSON.stringify(JSON.parse(body).map(problem)));
