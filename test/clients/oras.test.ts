import { oras } from "./oras.ts";
import { imageSuite } from "./image-suite.ts";

imageSuite(oras);
