// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.fake;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.kohort.v1.DeleteReportRequest;
import io.kohort.v1.DeleteReportResponse;
import io.kohort.v1.DownloadReportRequest;
import io.kohort.v1.DownloadReportResponse;
import io.kohort.v1.EvaluateRequest;
import io.kohort.v1.EvaluateResponse;
import io.kohort.v1.EvaluationServiceGrpc;
import io.kohort.v1.GetReleasePolicyRequest;
import io.kohort.v1.GetReleasePolicyResponse;
import io.kohort.v1.GetReportRequest;
import io.kohort.v1.GetReportResponse;
import io.kohort.v1.Job;
import io.kohort.v1.JobKind;
import io.kohort.v1.JobUpdate;
import io.kohort.v1.ListReportsRequest;
import io.kohort.v1.ListReportsResponse;
import io.kohort.v1.OverrideReleaseRequest;
import io.kohort.v1.OverrideReleaseResponse;
import io.kohort.v1.Release;
import io.kohort.v1.ReleasePolicy;
import io.kohort.v1.Report;
import io.kohort.v1.ReportFile;
import io.kohort.v1.UpdateReleasePolicyRequest;
import io.kohort.v1.UpdateReleasePolicyResponse;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** One report, "reports/1", of the job "jobs/1", and a policy. */
public final class FakeEvaluation extends EvaluationServiceGrpc.EvaluationServiceImplBase {
  private static final Report REPORT = Report.newBuilder().setName("reports/1").setJob("jobs/1").build();

  private final List<EvaluateRequest> requests = new CopyOnWriteArrayList<>();
  private final byte[] sha256;
  private final ByteString file;
  private ReleasePolicy policy = ReleasePolicy.newBuilder().setEtag("1").build();

  /** Reports are downloaded as this file of this digest. */
  public FakeEvaluation(byte[] file, byte[] sha256) {
    this.file = ByteString.copyFrom(file);
    this.sha256 = sha256.clone();
  }

  /** The requests to evaluate. */
  public List<EvaluateRequest> requests() {
    return requests;
  }

  private static <T> void answer(StreamObserver<T> observer, T message) {
    observer.onNext(message);
    observer.onCompleted();
  }

  /** Rows made elsewhere were evaluated before: their report comes alone. */
  @Override
  public void evaluate(EvaluateRequest request, StreamObserver<EvaluateResponse> observer) {
    requests.add(request);
    if (!request.getModel().isEmpty()) {
      Job job = Job.newBuilder().setName("jobs/1").setKind(JobKind.JOB_KIND_EVALUATE).build();
      JobUpdate update = JobUpdate.newBuilder().setJob(job).build();
      observer.onNext(EvaluateResponse.newBuilder().setUpdate(update).build());
    }
    answer(observer, EvaluateResponse.newBuilder().setReport(REPORT).build());
  }

  @Override
  public void getReport(GetReportRequest request, StreamObserver<GetReportResponse> observer) {
    if (!request.getName().equals(REPORT.getName())) {
      observer.onError(Errors.of(Status.Code.NOT_FOUND, "REPORT_NOT_FOUND", "there is no such report"));
      return;
    }
    answer(observer, GetReportResponse.newBuilder().setReport(REPORT).build());
  }

  @Override
  public void listReports(ListReportsRequest request, StreamObserver<ListReportsResponse> observer) {
    boolean other = request.getModel().equals("models/2");
    answer(observer, ListReportsResponse.newBuilder().addAllReports(other ? List.of() : List.of(REPORT)).build());
  }

  @Override
  public void downloadReport(DownloadReportRequest request, StreamObserver<DownloadReportResponse> observer) {
    ReportFile header =
        ReportFile.newBuilder().setSizeBytes(file.size()).setSha256(ByteString.copyFrom(sha256)).build();
    observer.onNext(DownloadReportResponse.newBuilder().setHeader(header).build());
    answer(observer, DownloadReportResponse.newBuilder().setData(file).build());
  }

  @Override
  public void deleteReport(DeleteReportRequest request, StreamObserver<DeleteReportResponse> observer) {
    answer(observer, DeleteReportResponse.getDefaultInstance());
  }

  @Override
  public void getReleasePolicy(
      GetReleasePolicyRequest request, StreamObserver<GetReleasePolicyResponse> observer) {
    answer(observer, GetReleasePolicyResponse.newBuilder().setPolicy(policy).build());
  }

  @Override
  public void updateReleasePolicy(
      UpdateReleasePolicyRequest request, StreamObserver<UpdateReleasePolicyResponse> observer) {
    if (!request.getReset() && !request.getPolicy().getEtag().equals(policy.getEtag())) {
      observer.onError(Errors.of(Status.Code.ABORTED, "ETAG_MISMATCH", "the policy was changed"));
      return;
    }
    policy = request.getPolicy().toBuilder().setEtag(policy.getEtag() + "1").build();
    answer(observer, UpdateReleasePolicyResponse.newBuilder().setPolicy(policy).build());
  }

  @Override
  public void overrideRelease(OverrideReleaseRequest request, StreamObserver<OverrideReleaseResponse> observer) {
    Release release = Release.newBuilder().setState(request.getState()).setReport(request.getReason()).build();
    answer(observer, OverrideReleaseResponse.newBuilder().setRelease(release).build());
  }
}
