import { podman } from "./containers.ts";
import { imageSuite } from "./image-suite.ts";

imageSuite(podman);
