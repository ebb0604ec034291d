import { regctl } from "./regctl.ts";
import { imageSuite } from "./image-suite.ts";

imageSuite(regctl);
