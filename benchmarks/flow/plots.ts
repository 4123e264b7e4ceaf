/**
 * Plots of one simulation, as SVG written by hand: batches in flight, and completions a second, over time.
 *
 * Colours follow the reader's scheme, and there is no background, so that a plot stands on a light page and on a dark one. The same
 * trace gives the same bytes.
 */
import type { Profile } from "./profiles.ts"
import type { Step, Trace } from "./ServiceModel.ts"

const width = 640
const panel = 110
const left = 44
const right = 8
const top = 20
const gap = 26
const bottom = 20
const height = top + panel + gap + panel + bottom
const plotWidth = width - left - right

const style = `<style>
text{font:11px system-ui,sans-serif;fill:#57606a}
.axis{stroke:#d0d7de;fill:none}
.line{stroke:#0969da;fill:none;stroke-width:1.3}
.area{fill:#0969da;fill-opacity:.25;stroke:#0969da}
.mark{stroke:#bc4c00;fill:none;stroke-dasharray:4 3}
@media (prefers-color-scheme:dark){text{fill:#9198a1}.axis{stroke:#3d444d}.line,.area{stroke:#58a6ff}.area{fill:#58a6ff}.mark{stroke:#f0883e}}
</style>`

/** A round number at or above one. */
const ceiling = (value: number): number => {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)))
  return power * ([1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((n) => n * power >= value - 1e-9) ?? 10)
}

const point = (x: number, y: number): string => `${Number(x.toFixed(1))} ${Number(y.toFixed(1))}`

interface Axes {
  readonly from: number
  readonly to: number
  readonly most: number
  /** Upper edge of the panel. */
  readonly at: number
}

const xOf = ({ from, to }: Axes, time: number) => left + ((time - from) / (to - from)) * plotWidth
const yOf = ({ at, most }: Axes, value: number) => at + panel * (1 - value / most)

const frame = (axes: Axes, title: string): string =>
  `<text x="${left}" y="${axes.at - 7}">${title}</text>` +
  `<path class="axis" d="M${left} ${axes.at}V${axes.at + panel}H${width - right}"/>` +
  `<text x="${left - 5}" y="${axes.at + 8}" text-anchor="end">${Number(axes.most.toPrecision(3))}</text>` +
  `<text x="${left - 5}" y="${axes.at + panel}" text-anchor="end">0</text>`

/** A line of steps, with one value for each bit of the width: the last that it had there. */
const steps = (axes: Axes, values: ReadonlyArray<Step>): string => {
  const bins = 320
  let path = ""
  let next = 0
  let value = 0
  let drawn: number | undefined
  for (let bin = 0; bin <= bins; bin++) {
    const time = axes.from + ((axes.to - axes.from) * bin) / bins
    while (next < values.length && values[next]!.at <= time) value = values[next++]!.inFlight
    if (value === drawn) continue
    const x = Number(xOf(axes, time).toFixed(1))
    const y = Number(yOf(axes, value).toFixed(1))
    path += drawn === undefined ? `M${point(x, y)}` : `H${x}V${y}`
    drawn = value
  }
  return `${path}H${width - right}`
}

/** The rate at which the service can complete, over time. */
const capacity = ({ service }: Profile, axes: Axes): string => {
  const { collapse, rateLimit, serviceTime } = service
  const rate = (workers: number) => {
    const best = Math.min(workers, (collapse?.exponent ?? 0) > 1 ? collapse!.at : Infinity)
    const ofWorkers = (best / serviceTime.mean) * 1000
    const allowed = rateLimit === undefined ? Infinity : rateLimit.perSecond / (rateLimit.countsPolls ? 2 : 1)
    return Math.min(ofWorkers, allowed, axes.most)
  }
  let path = `M${point(left, yOf(axes, rate(service.workers)))}`
  for (const { at, workers } of service.drift ?? []) {
    if (at < axes.to) path += `H${Number(xOf(axes, at).toFixed(1))}V${Number(yOf(axes, rate(workers)).toFixed(1))}`
  }
  return `${path}H${width - right}`
}

/** The plot of a simulation. */
export const plot = (profile: Profile, client: string, trace: Trace): string => {
  const { batches } = trace
  const from = trace.begun
  const to = Math.max(...batches.map(({ completed, detected }) => (detected === Infinity ? completed : detected)))
  const most = Math.max(...trace.inFlight.map(({ inFlight }) => inFlight))
  const flight: Axes = { from, to, most: ceiling(most), at: top }

  const bins = Math.min(80, Math.max(10, Math.floor(batches.length / 12)))
  const seconds = (to - from) / 1000 / bins
  const counts = Array.from({ length: bins }, () => 0)
  for (const { completed } of batches) {
    const bin = Math.min(bins - 1, Math.floor(((completed - from) / (to - from)) * bins))
    counts[bin]! += 1
  }
  const rates = counts.map((count) => count / seconds)
  const rate: Axes = { from, to, most: ceiling(Math.max(...rates)), at: top + panel + gap }
  let area = `M${point(left, rate.at + panel)}`
  for (const [bin, value] of rates.entries()) {
    area += `V${Number(yOf(rate, value).toFixed(1))}H${Number((left + (plotWidth * (bin + 1)) / bins).toFixed(1))}`
  }
  area += `V${rate.at + panel}Z`

  const { outage } = profile.service
  const away =
    outage === undefined
      ? ""
      : [outage.from, Math.min(outage.to, to)]
          .map((at) => `<path class="mark" d="M${Number(xOf(flight, at).toFixed(1))} ${top}V${height - bottom}"/>`)
          .join("")
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">` +
    `<title>${profile.name}, ${client}</title>${style}` +
    frame(flight, `${profile.name}: batches in flight (most ${most})`) +
    `<path class="line" d="${steps(flight, trace.inFlight)}"/>` +
    frame(rate, "completions a second, and what the service can do") +
    `<path class="area" d="${area}"/><path class="mark" d="${capacity(profile, rate)}"/>${away}` +
    `<text x="${left}" y="${height - 5}">0</text>` +
    `<text x="${width - right}" y="${height - 5}" text-anchor="end">${Number(((to - from) / 1000).toPrecision(3))} s</text>` +
    `</svg>\n`
  )
}
