"""Tuning jobs as tasks of Apache Airflow (extra ``airflow``): `operators.TuneOperator`, `sensors.RunSensor`."""
