// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.kohort.v1.Column;
import io.kohort.v1.ColumnData;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Map;

/**
 * A column on its way to the server: its cells are checked and written to the spool, later read from there and
 * gathered into batches. What a cell looks like is for the subclasses in {@link UploadColumns}.
 */
abstract class UploadColumn {
  private static final int MAX_TEXT = 1 << 20;

  private final String where;
  private final Column.Builder column;
  private final BitSet valid = new BitSet();
  private int rows;
  private boolean nulls;

  UploadColumn(String table, Column column) {
    this.where = table + "." + column.getName();
    this.column = column.toBuilder();
  }

  /** Checks a cell and writes it. Null, or what stands for it, is a null cell. */
  final void write(Object cell, DataOutputStream out) throws IOException {
    boolean present = cell != null && !isNull(cell);
    column.setNullable(column.getNullable() || !present);
    out.writeBoolean(present);
    if (present) {
      put(cell, out);
    }
  }

  /** Reads the next cell into the batch; about how many bytes it takes there. */
  final int read(DataInputStream in) throws IOException {
    boolean present = in.readBoolean();
    valid.set(rows++, present);
    nulls |= !present;
    return take(present ? in : null);
  }

  /** The cells since the last call. */
  final ColumnData batch() {
    ColumnData.Builder data = ColumnData.newBuilder();
    if (nulls) {
      byte[] bits = Arrays.copyOf(valid.toByteArray(), (rows + 7) / 8);
      data.setValidity(ByteString.copyFrom(bits));
    }
    finish(data);
    valid.clear();
    rows = 0;
    nulls = false;
    return data.build();
  }

  /** What the header says of the column: complete once all cells are written. */
  Column column() {
    return column.build();
  }

  /** The strings that the column's positions mean; null where it has none. */
  List<String> dictionary() {
    return null;
  }

  /** Whether a cell that is there means that nothing is. */
  boolean isNull(Object cell) {
    return false;
  }

  abstract void put(Object cell, DataOutputStream out) throws IOException;

  /** Takes a cell; a null cell (zero or empty in the batch) where there is nothing to read it from. */
  abstract int take(DataInputStream in) throws IOException;

  /** Gives the gathered cells and begins anew. */
  abstract void finish(ColumnData.Builder data);

  /** The bytes of a string. InvalidRequestException: it holds half a character, or is too long for a message. */
  final byte[] utf8(String text) {
    try {
      ByteBuffer utf8 = StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(text));
      byte[] bytes = new byte[utf8.remaining()];
      utf8.get(bytes);
      if (bytes.length > MAX_TEXT) {
        throw refused("LIMIT_EXCEEDED", "a text is longer than 1 MiB");
      }
      return bytes;
    } catch (CharacterCodingException unpaired) {
      throw refused("BAD_ENCODING", "the text holds what UTF-8 cannot express");
    }
  }

  final InvalidRequestException refused(String reason, String description) {
    return refused(reason, where, description);
  }

  /** The refusal of data that cannot be sent; where is a table or {@code table.column}. */
  static InvalidRequestException refused(String reason, String where, String description) {
    List<Violation> violations = List.of(new Violation(where, description));
    String message = where + ": " + description;
    return new InvalidRequestException(
        new Failure(Status.Code.INVALID_ARGUMENT, reason, message, Map.of(), violations, null, "", ""));
  }
}
