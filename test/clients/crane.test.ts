import { crane } from "./crane.ts";
import { imageSuite } from "./image-suite.ts";

imageSuite(crane);
