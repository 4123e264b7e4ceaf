/** Why a file cannot be read or written, in words. */
import type * as PlatformError from "effect/PlatformError"

const words: Record<string, string> = {
  EACCES: "permission denied",
  EDQUOT: "the disk quota is used up",
  EIO: "an input/output error",
  EISDIR: "it is a directory",
  ENOENT: "no such file or folder",
  ENOSPC: "no space is left on the device",
  ENOTDIR: "a part of its path is not a folder",
  EPERM: "permission denied",
  EROFS: "the file system is read-only"
}

/** The reason alone, without the path. */
export const describe = (error: PlatformError.PlatformError): string => {
  const { cause } = error.reason
  const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : undefined
  return (code === undefined ? undefined : words[code]) ?? code ?? error.message
}
