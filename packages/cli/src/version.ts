/** The version of the program: that of the packages, which move together. */
export { version } from "@tokenbatch/core/version"
