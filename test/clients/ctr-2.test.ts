import { ctr2 } from "./containerd.ts";
import { imageSuite } from "./image-suite.ts";

imageSuite(ctr2);
