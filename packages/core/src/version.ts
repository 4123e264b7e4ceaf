/** The version of these packages, which move together. A test holds it against the manifests. */
export const version = "0.1.0"
