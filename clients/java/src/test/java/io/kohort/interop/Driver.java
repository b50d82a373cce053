// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.interop;

import io.kohort.client.IntegrityException;
import io.kohort.client.KohortClient;
import io.kohort.client.KohortClientBuilder;
import io.kohort.client.RpcException;
import io.kohort.client.Timeouts;
import io.kohort.client.Tls;
import io.kohort.client.Violation;
import io.kohort.v1.Model;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Makes one call by the client library and prints what it saw as JSON, in the form that
 * tests/interop/canonical.py describes: {@code Driver VERB ADDRESS ARGUMENT…}.
 */
public final class Driver {
  private static final int FAILED_CALL = 3;

  private Driver() {}

  public static void main(String[] args) {
    System.exit(run(args));
  }

  private static int run(String[] args) {
    if (args.length < 3) {
      System.err.println("VERB ADDRESS ARGUMENT…");
      return 1;
    }
    try (KohortClient client = connect(args[1])) {
      print(call(client, args[0], List.of(args).subList(2, args.length)));
      return 0;
    } catch (RpcException failed) {
      print(Map.of("error", describe(failed)));
      return FAILED_CALL;
    } catch (IntegrityException | IllegalArgumentException | IndexOutOfBoundsException wrong) {
      System.err.println(wrong.getMessage());
      return 1;
    } catch (Exception other) {
      other.printStackTrace();
      return 1;
    }
  }

  private static KohortClient connect(String address) {
    KohortClientBuilder builder = KohortClient.builder(address);
    String ca = System.getenv("KOHORT_CA");
    String certificate = System.getenv("KOHORT_CERT");
    if (ca != null || certificate != null) {
      Tls tls = Tls.system();
      tls = ca == null ? tls : tls.withAuthorities(Path.of(ca));
      if (certificate != null) {
        tls = tls.withCertificate(Path.of(certificate), Path.of(System.getenv("KOHORT_KEY")));
      }
      builder.tls(tls);
    }
    String token = System.getenv("KOHORT_TOKEN");
    if (token != null) {
      builder.token(token);
    }
    double seconds = Double.parseDouble(System.getenv().getOrDefault("KOHORT_TIMEOUT", "60"));
    Duration timeout = Duration.ofMillis((long) (1000 * seconds));
    return builder.timeouts(Timeouts.DEFAULT.withCall(timeout).withTransfer(timeout)).build();
  }

  private static Object call(KohortClient client, String verb, List<String> args) throws Exception {
    switch (verb) {
      case "sample":
        return Samples.whole(client, args);
      case "read":
        return Samples.read(client, args);
      case "first":
        return Samples.first(client, args);
      case "upload":
        return Jobs.upload(client, args);
      case "train":
        return Jobs.train(client, args);
      case "follow":
        return Jobs.follow(client.job(args.get(0)), Long.parseLong(args.get(1)));
      case "cancel":
        return Map.of("state", Jobs.state(client.job(args.get(0)).cancel()));
      case "model":
        Model model = client.model(args.get(0));
        return Map.of("model", model.getName(), "trainer", model.getTrainer(), "unit", model.getUnit());
      case "idle":
        client.model(args.get(0));
        Thread.sleep((long) (1000 * Double.parseDouble(args.get(1))));
        return Map.of("model", client.model(args.get(0)).getName());
      default:
        throw new IllegalArgumentException("no verb " + verb);
    }
  }

  /** What is printed of a failed call. */
  private static Map<String, Object> describe(RpcException failed) {
    Map<String, Object> failure = new LinkedHashMap<>();
    failure.put("code", failed.code().name());
    failure.put("reason", failed.reason());
    failure.put("fields", failed.violations().stream().map(Violation::field).collect(Collectors.toList()));
    failed.retryAfter().ifPresent(wait -> failure.put("retry_ms", wait.toMillis()));
    failure.put("request_id", failed.requestId());
    failure.put("hint", failed.hint());
    return failure;
  }

  private static void print(Object result) {
    StringBuilder json = new StringBuilder();
    Json.write(json, result);
    new PrintStream(System.out, true, StandardCharsets.UTF_8).println(json);
  }
}
