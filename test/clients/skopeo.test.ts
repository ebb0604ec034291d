import { skopeo } from "./containers.ts";
import { imageSuite } from "./image-suite.ts";

imageSuite(skopeo);
