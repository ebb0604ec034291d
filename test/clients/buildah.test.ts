import { buildah } from "./containers.ts";
import { imageSuite } from "./image-suite.ts";

imageSuite(buildah);
