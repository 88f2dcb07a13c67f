// node build.mjs WIT OUT: builds gate.js for the world of the folder WIT into the component OUT.
import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [witPath, out] = process.argv.slice(2);
const { component } = await componentize({
  sourcePath: "gate.js",
  witPath,
  worldName: "gate",
  disableFeatures: ["http", "fetch-event", "stdio", "clocks", "random"],
});
await writeFile(out, component);
