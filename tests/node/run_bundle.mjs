// Runs stream graphs hop by hop in onnxruntime-web (WebAssembly) with carried state.
// node run_bundle.mjs NODE_MODULES BUNDLE VARIANT... -> {"version", "scores": {variant: [hop][finding]}}
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [modules, bundle, ...variants] = process.argv.slice(2);
const require = createRequire(join(resolve(modules), "from-here.js"));
const ort = require("onnxruntime-web");
ort.env.wasm.numThreads = 1;

const manifest = JSON.parse(readFileSync(join(bundle, "manifest.json"), "utf8"));
const golden = readFileSync(join(bundle, manifest.golden.input));
const pcm = new Float32Array(golden.buffer, golden.byteOffset, golden.length / 4);

async function score(variant) {
  const { stream, state_size: size } = manifest.variants[variant];
  const graph = new Uint8Array(readFileSync(join(bundle, stream.file)));
  const session = await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] });
  let state = new ort.Tensor("float32", new Float32Array(size), [1, size]);
  const rows = [];
  for (let at = 0; at < pcm.length; at += manifest.hop) {
    const hop = new ort.Tensor("float32", pcm.slice(at, at + manifest.hop), [1, manifest.hop]);
    const out = await session.run({ pcm: hop, state });
    state = out.next_state;
    rows.push(Array.from(out.scores.data));
  }
  return rows;
}

const scores = {};
for (const variant of variants) scores[variant] = await score(variant);
console.log(JSON.stringify({ version: ort.env.versions.web, scores }));
