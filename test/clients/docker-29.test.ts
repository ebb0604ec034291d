import { docker29 } from "./docker.ts";
import { imageSuite } from "./image-suite.ts";

imageSuite(docker29);
