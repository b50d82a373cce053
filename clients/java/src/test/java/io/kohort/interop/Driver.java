// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.interop;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Calls a Kohort server and prints what it saw as JSON, in the form that tests/interop compares
 * between languages.
 *
 * <pre>
 * sample ADDRESS MODEL START_UNIT UNIT_COUNT SEED [COLUMN VALUE COLUMN LOW HIGH]
 * upload ADDRESS FILE.csv TABLE
 * </pre>
 *
 * With five words more every row has VALUE in the first column, and in the second one something from
 * LOW to HIGH. A failed call prints {"error": …} and exits with 3. A stream that breaks the contract, a wrong
 * digest above all, exits with 1.
 */
public final class Driver {
  static final int DEADLINE_SECONDS = 60;
  private static final int FAILED_CALL = 3;

  private Driver() {}

  public static void main(String[] args) throws Exception {
    ManagedChannel channel =
        Grpc.newChannelBuilder(args[1], InsecureChannelCredentials.create()).build();
    int exit = 0;
    try {
      print(run(channel, args));
    } catch (StatusRuntimeException failed) {
      print(Map.of("error", describe(failed)));
      exit = FAILED_CALL;
    } catch (ContractException broken) {
      System.err.println(broken.getMessage());
      exit = 1;
    } finally {
      channel.shutdownNow();
    }
    System.exit(exit);
  }

  private static void print(Object result) {
    StringBuilder json = new StringBuilder();
    Json.write(json, result);
    new PrintStream(System.out, true, StandardCharsets.UTF_8).println(json);
  }

  private static Object run(ManagedChannel channel, String[] args) throws Exception {
    if (args[0].equals("sample") && (args.length == 6 || args.length == 11)) {
      return SampleReader.read(
          channel,
          args[2],
          Long.parseLong(args[3]),
          Long.parseLong(args[4]),
          Long.parseLong(args[5]),
          List.of(args).subList(6, args.length));
    }
    if (args[0].equals("upload") && args.length == 4) {
      return Upload.send(channel, Path.of(args[2]), args[3]);
    }
    throw new IllegalArgumentException("sample or upload");
  }

  /** What is printed of a failed call. */
  private static Map<String, Object> describe(StatusRuntimeException failed)
      throws InvalidProtocolBufferException {
    Map<String, Object> failure = new LinkedHashMap<>();
    List<Object> fields = new ArrayList<>();
    failure.put("code", failed.getStatus().getCode().name());
    failure.put("reason", "");
    failure.put("domain", "");
    failure.put("fields", fields);
    Status status = StatusProto.fromThrowable(failed);
    for (Any detail : status.getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        ErrorInfo info = detail.unpack(ErrorInfo.class);
        failure.put("reason", info.getReason());
        failure.put("domain", info.getDomain());
      } else if (detail.is(BadRequest.class)) {
        detail.unpack(BadRequest.class).getFieldViolationsList().forEach(v -> fields.add(v.getField()));
      } else if (detail.is(RetryInfo.class)) {
        Duration delay = detail.unpack(RetryInfo.class).getRetryDelay();
        failure.put("retry_ms", delay.getSeconds() * 1000 + delay.getNanos() / 1_000_000);
      }
    }
    return failure;
  }
}
