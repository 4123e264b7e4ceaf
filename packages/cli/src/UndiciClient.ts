/**
 * Effect's `HttpClient` over undici, for very many calls with small answers.
 *
 * `NodeHttpClient` does the same for whatever may be sent and read: each of its calls takes an abort controller, two promises, a stream, two
 * fibers for the body and an entry in a registry of those that nobody reads. In batches of a hundred records a run took a quarter more
 * CPU time with it (docs/performance.md). Here a call is one callback, and an answer that came in one piece is there when it is asked for.
 *
 * - What is sent is bytes, or nothing. Nothing is upgraded, and there is no span: that is for whoever makes the call.
 * - An answer has to be read, or the reading of it interrupted: one that nobody reads keeps its connection, whatever scope it was made in.
 * - A body is read as a stream once, or as a whole as often as anybody likes. Of one that is not read yet 64 KiB are kept; then the connection
 *   is held back.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Cookies from "effect/http/Cookies"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as Url from "effect/http/Url"
import * as UrlParams from "effect/http/UrlParams"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import { pipeArguments } from "effect/Pipeable"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Dispatcher } from "undici"

/** In bytes: as much of a body is kept while nobody reads it. */
const mostKept = 64 * 1024

const unwanted = new Error("nobody reads on")

type Failed = HttpClientError.HttpClientError
type Fields = Parameters<NonNullable<Dispatcher.DispatchHandler["onResponseStart"]>>[2]

/** A body as it comes. Its fields change meanwhile. */
class Body {
  private readonly controller: Dispatcher.DispatchController
  private chunks: Array<Uint8Array> = []
  private size = 0
  private most = mostKept
  private error: Error | undefined
  private isOver = false
  private isStreamed = false
  private changed: (() => void) | undefined

  constructor(controller: Dispatcher.DispatchController) {
    this.controller = controller
  }

  push(chunk: Uint8Array): void {
    this.chunks.push(chunk)
    this.size += chunk.length
    if (this.size > this.most) this.controller.pause()
    this.wake()
  }

  end(error?: Error): void {
    this.isOver = true
    this.error = error
    this.wake()
  }

  private wake(): void {
    const { changed } = this
    this.changed = undefined
    changed?.()
  }

  /** Lets go of the connection, where the body is still to come. */
  abort(): Effect.Effect<void> {
    return Effect.sync(() => {
      if (!this.isOver) this.controller.abort(unwanted)
    })
  }

  /** Waits until something has come. */
  private change(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const before = this.changed
      this.changed = () => {
        before?.()
        resume(Effect.void)
      }
      if (this.controller.paused) this.controller.resume()
      return this.abort()
    })
  }

  /** What has come since the last time. */
  pull(): Pull.Pull<readonly [Uint8Array, ...Array<Uint8Array>], Error> {
    return Effect.suspend(() => {
      const [first, ...more] = this.chunks
      if (first !== undefined) {
        this.isStreamed = true
        this.chunks = []
        this.size = 0
        return Effect.succeed([first, ...more] as const)
      }
      if (this.error !== undefined) return Effect.fail(this.error)
      return this.isOver ? Cause.done() : Effect.andThen(this.change(), this.pull())
    })
  }

  /** All of it; asked for again, it is still there. */
  bytes(): Effect.Effect<Uint8Array, Error> {
    return Effect.suspend(() => {
      if (this.isStreamed) return Effect.fail(new Error("the body was read as a stream"))
      if (this.error !== undefined) return Effect.fail(this.error)
      if (!this.isOver) {
        this.most = Infinity
        return Effect.andThen(this.change(), this.bytes())
      }
      if (this.chunks.length > 1) this.chunks = [Buffer.concat(this.chunks)]
      return Effect.succeed(this.chunks[0] ?? new Uint8Array())
    })
  }
}

class Response extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpIncomingMessage.TypeId]: typeof HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: typeof HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly request: HttpClientRequest.HttpClientRequest
  readonly url: string
  readonly status: number
  readonly headers: Headers.Headers
  readonly cookies: Cookies.Cookies
  readonly remoteAddress = Option.none<string>()
  private readonly body: Body

  constructor(request: HttpClientRequest.HttpClientRequest, url: string, status: number, fields: Fields, body: Body) {
    super()
    this.request = request
    this.url = url
    this.status = status
    this.headers = Headers.fromInput(fields)
    this.cookies = fields["set-cookie"] === undefined ? Cookies.empty : Cookies.fromSetCookie(fields["set-cookie"])
    this.body = body
  }

  private readonly unread = (cause: unknown): Failed =>
    new HttpClientError.HttpClientError({
      reason: new HttpClientError.DecodeError({ request: this.request, response: this, cause })
    })

  private as<A>(decode: (bytes: Uint8Array) => A): Effect.Effect<A, Failed> {
    return Effect.flatMap(Effect.mapError(this.body.bytes(), this.unread), (bytes) =>
      Effect.try({ try: () => decode(bytes), catch: this.unread })
    )
  }

  get text(): Effect.Effect<string, Failed> {
    return Effect.mapBoth(this.body.bytes(), { onFailure: this.unread, onSuccess: decodeText })
  }

  get json(): Effect.Effect<Schema.Json, Failed> {
    return this.as((bytes) => (bytes.length === 0 ? null : JSON.parse(decodeText(bytes))))
  }

  get arrayBuffer(): Effect.Effect<ArrayBuffer, Failed> {
    return this.as((bytes) => new Uint8Array(bytes).buffer)
  }

  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, Failed> {
    return this.as((bytes) => UrlParams.fromInput(new URLSearchParams(decodeText(bytes).replace(/^\?/, "%3F"))))
  }

  get formData(): Effect.Effect<FormData, Failed> {
    return Effect.flatMap(this.arrayBuffer, (body) =>
      Effect.tryPromise({
        try: () => new globalThis.Response(body, { headers: this.headers }).formData(),
        catch: this.unread
      })
    )
  }

  get stream(): Stream.Stream<Uint8Array, Failed> {
    return Stream.fromPull(Effect.succeed(this.body.pull())).pipe(
      Stream.mapError(this.unread),
      Stream.ensuring(this.body.abort())
    )
  }

  get upgrade(): Effect.Effect<never, Failed> {
    const reason = { request: this.request, response: this, description: "no upgrade is asked for" }
    return Effect.fail(new HttpClientError.HttpClientError({ reason: new HttpClientError.StatusCodeError(reason) }))
  }

  toJSON(): unknown {
    return HttpIncomingMessage.inspect(this, {
      _id: "HttpClientResponse",
      request: this.request.toJSON(),
      status: this.status
    })
  }

  pipe() {
    return pipeArguments(this, arguments)
  }
}

const decodeText = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

const call = (dispatcher: Dispatcher, request: HttpClientRequest.HttpClientRequest) =>
  Effect.callback<Response, Failed>((resume) => {
    const fail = (reason: HttpClientError.HttpClientError["reason"]) =>
      resume(Effect.fail(new HttpClientError.HttpClientError({ reason })))
    const url = Url.make(request.url, request.urlParams, Option.getOrUndefined(request.hash))
    if (Result.isFailure(url)) return fail(new HttpClientError.InvalidUrlError({ request, cause: url.failure }))
    const { origin, pathname, search } = url.success
    const path = pathname + search
    const { body } = request
    if (body._tag !== "Empty" && body._tag !== "Uint8Array") {
      const description = "only a body of bytes can be sent"
      return fail(new HttpClientError.EncodeError({ request, description }))
    }
    let controller: Dispatcher.DispatchController | undefined
    let isInterrupted = false
    let answer: Body | undefined
    const broken = (cause: unknown) => fail(new HttpClientError.TransportError({ request, cause }))
    try {
      dispatcher.dispatch(
        {
          origin,
          path,
          method: request.method,
          headers: request.headers,
          // In a list, since then an answer that comes before all of it was written ends the connection. Of bytes alone undici would go on writing,
          // when they may be those of another batch already.
          body: body._tag === "Empty" ? null : ([body.body] satisfies Iterable<Uint8Array> as never),
          // How long a call may take is for whoever makes it to say.
          headersTimeout: 0,
          bodyTimeout: 0
        },
        {
          onRequestStart(started) {
            controller = started
            // It may have waited for a connection for longer than anybody waits for it.
            if (isInterrupted) started.abort(unwanted)
          },
          onResponseStart(started, status, headers) {
            if (status < 200) return
            const received = (answer = new Body(started))
            // What came with the head is passed on right behind this, and mostly that is all.
            process.nextTick(() =>
              resume(Effect.succeed(new Response(request, origin + path, status, headers, received)))
            )
          },
          onResponseData: (_, chunk) => answer!.push(chunk),
          onResponseEnd: () => answer!.end(),
          onResponseError(_, error) {
            if (answer === undefined) return broken(error)
            answer.end(error)
          }
        }
      )
    } catch (error) {
      broken(error)
    }
    return Effect.sync(() => {
      isInterrupted = true
      controller?.abort(unwanted)
    })
  })

/** A client over a dispatcher, for as long as that is open. */
export const make = (dispatcher: Dispatcher): HttpClient.HttpClient =>
  HttpClient.makeWith<never, never, Failed, never>(
    Effect.flatMap((request) => call(dispatcher, request)),
    Effect.succeed
  )
