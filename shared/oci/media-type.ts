/**
 * The media types of manifests: exactly the four that distribution's collector can read. A fifth one in a shared bucket
 * would make its garbage collection abort.
 */
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";

export type ManifestMediaType =
  typeof OCI_MANIFEST | typeof OCI_INDEX | typeof DOCKER_MANIFEST | typeof DOCKER_MANIFEST_LIST;

const MANIFEST_TYPES: ReadonlySet<string> = new Set([OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST]);

/** Layers that a registry need not hold, since they may not be distributed. */
const NON_DISTRIBUTABLE =
  /^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.v1\.|docker\.image\.rootfs\.foreign\.)/;

const SCHEMA_1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+(?:json|prettyjws)$/;

export function isManifestMediaType(type: string): type is ManifestMediaType {
  return MANIFEST_TYPES.has(type);
}

export function isIndex(type: ManifestMediaType): boolean {
  return type === OCI_INDEX || type === DOCKER_MANIFEST_LIST;
}

export function isNonDistributable(type: string): boolean {
  return NON_DISTRIBUTABLE.test(type);
}

export function isSchema1(type: string): boolean {
  return SCHEMA_1.test(type);
}

/** `type/subtype` of a Content-Type header, lower-case, without parameters. */
export function essence(contentType: string): string {
  const end = contentType.indexOf(";");
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}
