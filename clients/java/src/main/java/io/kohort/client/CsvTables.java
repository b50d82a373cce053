// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Function;

/** Writes batches as CSV text, each table where it belongs. */
final class CsvTables {
  private static final int CHARS = 1 << 16;

  private final Map<String, Appendable> outs = new HashMap<>();
  private final StringBuilder text = new StringBuilder(CHARS + 1024);

  /** Writes the header line of every table. */
  CsvTables(Collection<Layout> tables, Function<String, ? extends Appendable> outs) {
    for (Layout table : tables) {
      Appendable out = outs.apply(table.table());
      this.outs.put(table.table(), out);
      for (int i = 0; i < table.width(); i++) {
        text.append(i > 0 ? "," : "");
        CsvText.quoted(text, table.column(i).getName());
      }
      end(out, true);
    }
  }

  void write(Batch batch) {
    Appendable out = outs.get(batch.table());
    Cells[] columns = new Cells[batch.layout().width()];
    for (int i = 0; i < columns.length; i++) {
      columns[i] = batch.cells(i);
    }
    for (int row = 0; row < batch.rowCount(); row++) {
      for (int i = 0; i < columns.length; i++) {
        if (i > 0) {
          text.append(',');
        }
        CsvText.append(text, columns[i], row);
      }
      end(out, row + 1 == batch.rowCount());
    }
  }

  private void end(Appendable out, boolean last) {
    text.append("\r\n");
    if (last || text.length() >= CHARS) {
      try {
        out.append(text);
      } catch (IOException unwritable) {
        throw new UncheckedIOException(unwritable);
      }
      text.setLength(0);
    }
  }
}
