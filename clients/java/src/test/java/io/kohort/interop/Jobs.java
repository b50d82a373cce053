// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.interop;

import io.kohort.client.CloseableIterator;
import io.kohort.client.Job;
import io.kohort.client.KohortClient;
import io.kohort.client.TrainCall;
import io.kohort.v1.Dataset;
import io.kohort.v1.JobUpdate;
import io.kohort.v1.TableSchema;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Uploads a file, starts jobs and follows them. */
final class Jobs {
  private Jobs() {}

  /** FILE TABLE. */
  static Object upload(KohortClient client, List<String> args) {
    Dataset dataset = client.upload(Path.of(args.get(0))).table(args.get(1)).send();
    List<String> columns = new ArrayList<>();
    for (TableSchema stored : dataset.getSchema().getTablesList()) {
      stored.getColumnsList().forEach(column -> columns.add(column.getName()));
    }
    Map<String, Object> result = new LinkedHashMap<>();
    result.put("dataset", dataset.getName());
    result.put("rows", String.valueOf(dataset.getRowCountsOrDefault(args.get(1), 0)));
    result.put("digest", Cells.hex(dataset.getDigest()));
    result.put("columns", columns);
    return result;
  }

  /** DATASET TRAINER SEED [NAME NUMBER]…. */
  static Object train(KohortClient client, List<String> args) {
    TrainCall call = client.train(args.get(0)).trainer(args.get(1)).seed(Long.parseLong(args.get(2)));
    for (int i = 3; i < args.size(); i += 2) {
      call.parameter(args.get(i), Double.parseDouble(args.get(i + 1)));
    }
    return follow(call.start(), 0);
  }

  static Object follow(Job job, long after) {
    List<Long> sequences = new ArrayList<>();
    List<String> phases = new ArrayList<>();
    try (CloseableIterator<JobUpdate> updates = job.events(after)) {
      while (updates.hasNext()) {
        JobUpdate update = updates.next();
        if (update.hasEvent()) {
          sequences.add(update.getSequence());
          if (update.getEvent().hasPhaseStarted()) {
            phases.add(update.getEvent().getPhaseStarted().getPhase());
          }
        }
      }
    }
    Map<String, Object> result = new LinkedHashMap<>();
    result.put("job", job.name());
    result.put("state", state(job.info()));
    result.put("model", job.info().getModel());
    result.put("events", sequences.size());
    int last = sequences.size() - 1;
    result.put("sequences", last < 0 ? List.of() : List.of(sequences.get(0), sequences.get(last)));
    result.put("phases", phases);
    result.put("error", null);
    if (job.info().hasError()) {
      String reason = job.info().getError().getReason();
      result.put("error", Map.of("reason", reason, "column", job.info().getError().getColumn()));
    }
    return result;
  }

  static String state(io.kohort.v1.Job job) {
    return job.getState().name().substring("JOB_STATE_".length());
  }
}
