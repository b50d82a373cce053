-- Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0
-- What the hospital has, and where the synthetic patients go: the same columns without the key, and where they are from.

CREATE TABLE patients (
  id         UUID PRIMARY KEY,
  sex        CHAR(1) NOT NULL,
  born       DATE,
  ward       VARCHAR(40),
  weight     DECIMAL(5, 1),
  smoker     BOOLEAN,
  chol       INTEGER,
  oldpeak    DOUBLE PRECISION,
  admitted   TIMESTAMP NOT NULL,
  discharged TIMESTAMP WITH TIME ZONE
);

CREATE TABLE synthetic_patients (
  model      VARCHAR(80) NOT NULL,
  sex        CHAR(1) NOT NULL,
  born       DATE,
  ward       VARCHAR(40),
  weight     DECIMAL(5, 1),
  smoker     BOOLEAN,
  chol       INTEGER,
  oldpeak    DOUBLE PRECISION,
  admitted   TIMESTAMP NOT NULL,
  discharged TIMESTAMP WITH TIME ZONE
);
