import { docker } from "./docker.ts";
import { imageSuite } from "./image-suite.ts";

imageSuite(docker);
