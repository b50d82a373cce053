// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import io.kohort.fake.Golden;
import io.kohort.fake.Streams;
import io.kohort.v1.PrivacyStatement;
import io.kohort.v1.ReleaseState;
import io.kohort.v1.SampleHeader;
import io.kohort.v1.SampleResponse;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CsvTest extends SamplingFixture {
  @Test
  void everyKindAsTheServerWritesIt() {
    Map<String, StringBuilder> texts = new HashMap<>();
    try (Sample sample = client.sample("models/golden").units(Golden.UNITS).open()) {
      long rows = sample.writeCsv(table -> texts.computeIfAbsent(table, t -> new StringBuilder()));
      assertEquals(Golden.UNITS + 259, rows);
    }
    assertTrue(
        texts.get("patients").toString().startsWith(
            "id,alive,seen,count,ratio,dose,trace,born,local,moment,stay,ward,code,remark,never,drugs\r\n"
                + "syn-000000,true,true,0,nan,0.00,0.000000000001,1970-01-01,0001-01-01T00:00:00,,"
                + "PT0S,\"\",C0600,\"\",,[]\r\n"
                + "syn-000001,,false,-1,inf,-0.01,-1.000000000000,1969-12-31,1969-12-31T23:59:59.000001,"
                + "0001-01-01T00:00:00Z,PT0.000001S,Ward A,C0601,,,\r\n"
                + "syn-000002,false,true,9223372036854775807,-inf,0.05,9223372.036854775807,,2262-04-12T00:00:00,"
                + "1969-12-31T23:59:59.000001Z,PT-90.000001S,Zürich – Öst,C0602," + "ü".repeat(70)
                + ",,\"[\"\"aspirin\"\"]\"\r\n"
                + "syn-000003,true,false,-9223372036854775808,-0.0,-2.50,,0001-01-01,9999-12-31T23:59:59.999999,"
                + "2262-04-12T00:00:00Z,PT9223372036854.775807S,日本語,C0603,nul\0,,"
                + "\"[\"\"δ\"\", \"\"\"\", \"\"naïve\"\", \"\"δ\"\"]\"\r\n"));
    assertTrue(texts.get("visits").toString().startsWith("at,code\r\n0001-01-01T00:00:00,\r\n"));
    assertTrue(texts.get("patients").toString().contains(",\"a\"\"b\\c\","));
    assertTrue(texts.get("patients").toString().contains(",\"line\nbreak\ttab\r\","));
    assertTrue(texts.get("patients").toString().contains(",\"x,y\","));
  }

  @ParameterizedTest
  @CsvSource({
    "0.1, 0.1", "100, 100.0", "-2.5, -2.5", "1e16, 1e+16", "9007199254740993, 9007199254740992.0",
    "1234567890123456.7, 1234567890123456.8", "0.0001, 0.0001", "0.00001, 1e-05", "5e-324, 5e-324",
    "2e-3, 0.002", "1.7976931348623157e308, 1.7976931348623157e+308", "2e23, 2e+23", "1e23, 1e+23",
    "9.5e-322, 9.5e-322", "623203260495222.75, 623203260495222.8",
    "8.32498966371959e-258, 8.32498966371959e-258",
    "2.2250738585072014e-308, 2.2250738585072014e-308", "0.30000000000000004, 0.30000000000000004"
  })
  void doublesAsPythonWritesThem(double value, String text) {
    StringBuilder out = new StringBuilder();
    CsvText.number(out, value);
    assertEquals(text, out.toString());
  }

  @Test
  void aFileIsWholeOrNotThere(@TempDir Path folder) throws IOException {
    // All rows, but no trailer: an incomplete sample, too.
    sampling.answer(
        (request, number) -> {
          Iterator<SampleResponse> all = Streams.endless(request);
          return List.of(all.next(), all.next()).iterator();
        });
    Path file = folder.resolve("rows.csv");
    SampleCall call = client.sample("models/long").units(Streams.ROWS).seed(1);
    assertThrows(IntegrityException.class, () -> call.writeCsv(file));
    try (var left = Files.list(folder)) {
      assertEquals(0, left.count());
    }
  }

  @Test
  void aFileAndWhereItComesFrom(@TempDir Path folder) throws IOException {
    sampling.answer((request, number) -> Streams.ending(request));
    Path file = folder.resolve("rows.csv");
    Files.writeString(file, "old");
    assertEquals(Streams.ROWS, client.sample("models/long").units(Streams.ROWS).seed(1).writeCsv(file));
    List<String> lines = Files.readAllLines(file);
    assertEquals(List.of("n", "0", "0"), lines.subList(0, 3));
    assertEquals(Streams.ROWS + 1, lines.size());
    String note = Files.readString(folder.resolve("rows.csv.provenance.json"));
    assertTrue(note.contains("\"model\": \"models/long\""), note);
    try (var left = Files.list(folder)) {
      assertEquals(2, left.count());
    }
    Path nowhere = folder.resolve("no").resolve("folder.csv");
    UncheckedIOException lost =
        assertThrows(UncheckedIOException.class, () -> client.sample("models/long").units(1).writeCsv(nowhere));
    assertEquals(nowhere + ": there is no such folder", lost.getCause().getMessage());
  }

  @Test
  void provenanceIsThatOfThePythonClient() {
    SampleHeader header =
        SampleHeader.newBuilder()
            .setSynthetic(true)
            .setModel("models/1")
            .setContentDigest(ByteString.copyFrom(new byte[] {1, -1}))
            .setSeed(-5)
            .setUnitCount(10)
            .setRuntimeFingerprint("f")
            .setPrivacy(PrivacyStatement.newBuilder().setStatement("said \"so\"\n"))
            .setReleaseState(ReleaseState.RELEASE_STATE_OPEN_WITH_WARNING)
            .build();
    assertEquals(
        "{\n  \"synthetic\": true,\n  \"model\": \"models/1\",\n  \"content_digest\": \"01ff\",\n  \"seed\": -5,\n"
            + "  \"start_unit\": 0,\n  \"unit_count\": 10,\n  \"runtime_fingerprint\": \"f\",\n"
            + "  \"differentially_private\": false,\n  \"privacy_statement\": \"said \\\"so\\\"\\n\",\n"
            + "  \"release_state\": \"open_with_warning\"\n}\n",
        CsvFile.provenance(header));
    assertFalse(CsvFile.provenance(SampleHeader.getDefaultInstance()).contains("release_state"));
  }

  @Test
  void severalTablesNeedSeveralFiles(@TempDir Path folder) {
    SampleCall call = client.sample("models/golden").units(1);
    IllegalStateException error =
        assertThrows(IllegalStateException.class, () -> call.writeCsv(folder.resolve("x.csv")));
    assertEquals("the model has several tables (patients, visits): read its batches", error.getMessage());
  }
}
