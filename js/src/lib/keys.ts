// Keys that move a cell about a grid.

export interface Cell {
  readonly row: number;
  readonly column: number;
}

/** Where a key moves `cell` in a grid of `rows` x `columns`; undefined when it is not a key that moves. */
export function moved(key: string, cell: Cell, rows: number, columns: number, page: number): Cell | undefined {
  const to = (row: number, column: number): Cell => ({
    row: Math.min(rows - 1, Math.max(0, row)),
    column: Math.min(columns - 1, Math.max(0, column)),
  });
  switch (key) {
    case "ArrowUp":
      return to(cell.row - 1, cell.column);
    case "ArrowDown":
      return to(cell.row + 1, cell.column);
    case "ArrowLeft":
      return to(cell.row, cell.column - 1);
    case "ArrowRight":
      return to(cell.row, cell.column + 1);
    case "Home":
      return to(cell.row, 0);
    case "End":
      return to(cell.row, columns - 1);
    case "PageUp":
      return to(cell.row - page, cell.column);
    case "PageDown":
      return to(cell.row + page, cell.column);
    default:
      return undefined;
  }
}
