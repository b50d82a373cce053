// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.Column;
import io.kohort.v1.ColumnData;
import io.kohort.v1.ColumnKind;
import io.kohort.v1.IndexValues;
import io.kohort.v1.ListValues;
import io.kohort.v1.Storage;
import io.kohort.v1.StringValues;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Strings, as positions in a dictionary while that pays. A column whose strings are too many and too different for
 * a dictionary travels as plain strings; since that shows late, the spool holds positions up to there.
 */
final class UploadStrings extends UploadColumn {
  /** About what a dictionary may take in memory; beyond that, strings hardly repeat. */
  static final long DICTIONARY_BYTES = 4 << 20;

  private static final int PLAIN = -1;

  private final Words words = new Words();
  private boolean plain;
  private IndexValues.Builder indices = IndexValues.newBuilder();
  private StringValues.Builder texts = StringValues.newBuilder();

  UploadStrings(String table, String name) {
    super(table, UploadColumns.column(name, Storage.STORAGE_STRING));
  }

  @Override
  List<String> dictionary() {
    return plain ? null : words.strings;
  }

  @Override
  void put(Object cell, DataOutputStream out) throws IOException {
    String text = cell.toString();
    int position = words.position(text);
    if (position < 0) {
      byte[] utf8 = utf8(text);
      plain |= !words.fits(utf8.length, DICTIONARY_BYTES);
      if (plain) {
        out.writeInt(PLAIN);
        out.writeInt(utf8.length);
        out.write(utf8);
        return;
      }
      position = words.add(text, utf8.length);
    }
    out.writeInt(position);
  }

  @Override
  int take(DataInputStream in) throws IOException {
    int position = in == null ? 0 : in.readInt();
    if (!plain) {
      indices.addValues(position);
      return Integer.BYTES;
    }
    String text = "";
    if (in != null && position == PLAIN) {
      text = new String(in.readNBytes(in.readInt()), StandardCharsets.UTF_8);
    } else if (in != null) {
      text = words.strings.get(position);
    }
    texts.addValues(text);
    return utf8Bytes(text);
  }

  @Override
  void finish(ColumnData.Builder data) {
    if (plain) {
      data.setStrings(texts);
    } else {
      data.setIndices(indices);
    }
    texts = StringValues.newBuilder();
    indices = IndexValues.newBuilder();
  }

  /** What a string takes in a message, nearly. */
  static int utf8Bytes(String text) {
    int bytes = text.length() + 6;
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      bytes += c < 0x80 ? 0 : c < 0x800 || Character.isSurrogate(c) ? 1 : 2;
    }
    return bytes;
  }

  /** Lists of strings: always with a dictionary. */
  static final class Lists extends UploadColumn {
    private static final long DICTIONARY_BYTES = 64 << 20;

    private final Words words = new Words();
    private ListValues.Builder lists = ListValues.newBuilder();

    Lists(String table, String name) {
      super(table, list(name));
    }

    private static Column list(String name) {
      Column.Builder list = UploadColumns.column(name, Storage.STORAGE_STRING_LIST).toBuilder();
      return list.setKind(ColumnKind.COLUMN_KIND_CODE_LIST).build();
    }

    @Override
    List<String> dictionary() {
      return words.strings;
    }

    @Override
    void put(Object cell, DataOutputStream out) throws IOException {
      List<?> items = (List<?>) cell;
      out.writeInt(items.size());
      for (Object item : items) {
        if (item == null) {
          throw refused("MIXED_TYPES", "lists must hold strings only");
        }
        String text = item.toString();
        int position = words.position(text);
        if (position < 0) {
          int bytes = utf8(text).length;
          if (!words.fits(bytes, DICTIONARY_BYTES)) {
            throw refused("LIMIT_EXCEEDED", "the lists hold too many different strings");
          }
          position = words.add(text, bytes);
        }
        out.writeInt(position);
      }
    }

    @Override
    int take(DataInputStream in) throws IOException {
      if (lists.getOffsetsCount() == 0) {
        lists.addOffsets(0);
      }
      int items = in == null ? 0 : in.readInt();
      for (int i = 0; i < items; i++) {
        lists.addValues(in.readInt());
      }
      lists.addOffsets(lists.getValuesCount());
      return Integer.BYTES * (items + 1);
    }

    @Override
    void finish(ColumnData.Builder data) {
      data.setLists(lists);
      lists = ListValues.newBuilder();
    }
  }

  /** Distinct strings in the order in which they appeared. */
  private static final class Words {
    final List<String> strings = new ArrayList<>();
    private final Map<String, Integer> positions = new HashMap<>();
    private long bytes;

    /** Where the string stands; -1 where it is new. */
    int position(String text) {
      return positions.getOrDefault(text, -1);
    }

    boolean fits(int utf8, long limit) {
      return bytes + cost(utf8) <= limit;
    }

    int add(String text, int utf8) {
      bytes += cost(utf8);
      positions.put(text, strings.size());
      strings.add(text);
      return strings.size() - 1;
    }

    /** Roughly: the string itself and its place in the map. */
    private static long cost(int utf8) {
      return 2L * utf8 + 100;
    }
  }
}
