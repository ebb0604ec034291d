import { ctr } from "./containerd.ts";
import { imageSuite } from "./image-suite.ts";

imageSuite(ctr);
