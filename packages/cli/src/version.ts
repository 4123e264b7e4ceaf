/** The version of the program. A test holds it against the manifest. */
export const version = "0.1.0"
