// Paths of SVG through points that are joined by straight lines; a point that is undefined breaks the line.

export type Point = readonly [number, number] | undefined;

export function linePath(points: readonly Point[]): string {
  let open = false;
  let path = "";
  for (const point of points) {
    if (point) path += `${open ? "L" : "M"}${point[0].toFixed(2)},${point[1].toFixed(2)}`;
    open = point !== undefined;
  }
  return path;
}

/** Between an upper and a lower value at each x: one closed shape for every unbroken stretch. */
export function areaPath(points: readonly (readonly [number, number, number] | undefined)[]): string {
  let path = "";
  let from = 0;
  for (let i = 0; i <= points.length; i++) {
    if (points[i]) continue;
    const stretch = points.slice(from, i) as (readonly [number, number, number])[];
    const there = stretch.map(([x, upper]): Point => [x, upper]);
    const back = stretch.map(([x, , lower]): Point => [x, lower]).reverse();
    if (stretch.length) path += `${linePath([...there, ...back])}Z`;
    from = i + 1;
  }
  return path;
}
