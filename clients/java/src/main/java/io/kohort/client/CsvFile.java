// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import com.google.protobuf.ByteString;
import io.kohort.v1.ReleaseState;
import io.kohort.v1.SampleHeader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Locale;
import java.util.UUID;

/**
 * A sample as a CSV file that appears whole or not at all, and the file beside it that says where it comes
 * from.
 */
final class CsvFile {
  private CsvFile() {}

  static long write(Sample sample, Path file) {
    try {
      return writeWhole(sample, file);
    } catch (IOException unwritable) {
      throw new UncheckedIOException(unwritable);
    }
  }

  private static long writeWhole(Sample sample, Path file) throws IOException {
    Path folder = Download.folder(file);
    Path part = folder.resolve("." + file.getFileName() + "." + UUID.randomUUID() + ".part");
    try {
      long rows;
      try (BufferedWriter out = Files.newBufferedWriter(part, StandardCharsets.UTF_8)) {
        rows = sample.writeCsv(out);
      }
      Files.move(part, file, StandardCopyOption.REPLACE_EXISTING);
      // CSV has no place for it inside.
      String note = file.getFileName() + ".provenance.json";
      Files.writeString(folder.resolve(note), provenance(sample.header()));
      return rows;
    } finally {
      Files.deleteIfExists(part);
    }
  }

  /** As the Python client writes it. */
  static String provenance(SampleHeader header) {
    StringBuilder out = new StringBuilder("{");
    field(out, "synthetic", header.getSynthetic());
    field(out, "model", header.getModel());
    field(out, "content_digest", hex(header.getContentDigest()));
    field(out, "seed", header.getSeed());
    field(out, "start_unit", header.getStartUnit());
    field(out, "unit_count", header.getUnitCount());
    field(out, "runtime_fingerprint", header.getRuntimeFingerprint());
    field(out, "differentially_private", header.getPrivacy().getDifferentiallyPrivate());
    field(out, "privacy_statement", header.getPrivacy().getStatement());
    ReleaseState state = header.getReleaseState();
    if (state != ReleaseState.RELEASE_STATE_UNSPECIFIED && state != ReleaseState.UNRECOGNIZED) {
      field(out, "release_state", state.name().substring("RELEASE_STATE_".length()).toLowerCase(Locale.ROOT));
    }
    return out.append("\n}\n").toString();
  }

  private static void field(StringBuilder out, String name, Object value) {
    out.append(out.length() > 1 ? "," : "").append("\n  \"").append(name).append("\": ");
    if (value instanceof String) {
      CsvText.json(out, (String) value);
    } else {
      out.append(value);
    }
  }

  private static String hex(ByteString bytes) {
    StringBuilder text = new StringBuilder();
    for (byte b : bytes) {
      text.append(Character.forDigit(b >> 4 & 15, 16)).append(Character.forDigit(b & 15, 16));
    }
    return text.toString();
  }
}
