// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.grpc.MethodDescriptor;
import io.kohort.v1.GetJobRequest;
import io.kohort.v1.Job;
import io.kohort.v1.JobState;
import io.kohort.v1.ListJobsRequest;
import io.kohort.v1.ListJobsResponse;
import io.kohort.v1.TrainingServiceGrpc;
import java.util.List;
import java.util.function.Function;
import java.util.stream.Collectors;

/** The calls about jobs that ask one thing. */
final class Jobs {
  private Jobs() {}

  static Job get(Connection connection, String name) {
    GetJobRequest request = GetJobRequest.newBuilder().setName(name).build();
    return connection.unary(TrainingServiceGrpc.getGetJobMethod(), request).getJob();
  }

  static Iterable<io.kohort.client.Job> list(Connection connection, List<JobState> states) {
    return Pages.of(
        token ->
            connection.unary(
                TrainingServiceGrpc.getListJobsMethod(),
                ListJobsRequest.newBuilder()
                    .setPageSize(Pages.SIZE)
                    .setPageToken(token)
                    .addAllStates(states)
                    .build()),
        page ->
            page.getJobsList().stream()
                .map(job -> new io.kohort.client.Job(connection, job))
                .collect(Collectors.toList()),
        ListJobsResponse::getNextPageToken);
  }

  /** The job that a stream of updates begins with; the stream is then left. */
  static <Q, R> Job first(
      Connection connection, MethodDescriptor<Q, R> method, Q request, Function<R, Job> read) {
    return connection.retried(
        connection.attempts(connection.timeouts().call()),
        attempts -> {
          try (ResponseStream<R> stream = ResponseStream.open(connection, attempts, method, request)) {
            for (R message = stream.next(); message != null; message = stream.next()) {
              Job job = read.apply(message);
              if (job != null) {
                return job;
              }
            }
          }
          throw new IntegrityException(method.getBareMethodName() + " ended without naming a job");
        });
  }
}
