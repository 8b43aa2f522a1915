"""Which tests of the classes that all providers inherit are left to the complete suite, and for which providers.

Their subject is code of the core, which is the same on each of these providers; by default one of them shows it. What
is left to a provider by default is what its own code takes part in.
"""

LIMITS_AND_HANDLES = (
    "test_too_many_failures_fail_the_run",
    "test_a_reached_target_ends_the_run",
    "test_no_improvement_ends_the_run",
    "test_an_attached_run_is_the_same_run",
    "test_submitting_twice_under_one_id_makes_one_run",
    "test_several_objectives_give_a_front",
    "test_the_same_seed_gives_the_same_trials",
    "test_a_trial_without_a_usable_objective_has_failed",
    "test_paused_trials_go_on_from_their_checkpoints",
    "test_the_best_trial_keeps_the_constraints",
    "test_a_driven_run_takes_trials_of_the_users_own_and_goes_on_after_its_end",
)
"""Of the conformance suite: what the core does beside a service's own tuner. Vertex AI's tests show it."""

OF_THE_CORE = (
    "test_the_same_seed_gives_the_same_trials",
    "test_paused_trials_go_on_from_their_checkpoints",
    "test_submitting_twice_under_one_id_makes_one_run",
    "test_an_attached_run_is_the_same_run",
    "test_a_driven_run_takes_trials_of_the_users_own_and_goes_on_after_its_end",
)
"""Of these, what has no other side on a service: this machine's tests show it."""

PLAIN_JOBS = ("test_a_broken_trial_is_tried_again", "test_a_population_goes_on_from_checkpoints_of_its_best")
"""Of the conformance suite, for a service whose tuner has no such feature: jobs that the driver makes. Vertex AI's tests show it."""

DRIVEN = (
    *LIMITS_AND_HANDLES,
    "test_a_script_that_knows_nothing_of_cloudtune_works",
    "test_every_report_is_kept_in_order",
    "test_strict_refuses_whatever_is_below_encoded",
)
"""Of the conformance suite: what the core does for trials that it drives. This machine's tests show it."""

ON_A_CLUSTER = (
    *DRIVEN,
    "test_a_failed_trial_is_lost_alone_and_says_why",
    "test_logs_are_followed_to_the_end_of_the_trial",
    "test_the_source_folder_travels",
    "test_data_reaches_the_trial",
    "test_the_stopping_rule_prunes_what_does_badly",
    "test_a_population_goes_on_from_checkpoints_of_its_best",
    "test_a_broken_trial_is_tried_again",
)
"""Of the conformance suite, for Ray, where each run takes two seconds of computing: what its own tests of runs show, too.

That a rule prunes, a cell of the matrix shows; that checkpoints come back, the tests of outputs; that attempts follow each other, those of deaths.
"""

OF_DRIVEN_JOBS = (
    *DRIVEN,
    "test_a_plan_is_pure_and_is_plain_data",
    "test_a_note_says_something_and_is_never_exact",
    "test_a_job_is_ported_once_and_no_field_is_lost",
    "test_what_a_plan_carries_exactly_is_in_the_request",
    "test_the_trial_sees_exactly_the_parameters_of_the_spec",
    "test_the_source_folder_travels",
    "test_data_reaches_the_trial",
    "test_check_says_what_is_there_and_what_is_not",
    "test_logs_are_followed_to_the_end_of_the_trial",
    "test_a_failed_trial_is_lost_alone_and_says_why",
    "test_a_hung_trial_ends_at_its_time_limit",
    "test_the_stopping_rule_prunes_what_does_badly",
    "test_a_population_goes_on_from_checkpoints_of_its_best",
    "test_a_broken_trial_is_tried_again",
)
"""Of the conformance suite, for a service's plain jobs: what its tuning jobs show as well, or this machine's trials."""

OF_STRANGERS = (
    *LIMITS_AND_HANDLES,
    "test_a_script_that_knows_nothing_of_cloudtune_works",
    "test_a_plan_is_pure_and_is_plain_data",
    "test_a_note_says_something_and_is_never_exact",
    "test_a_job_is_ported_once_and_no_field_is_lost",
    "test_what_a_plan_carries_exactly_is_in_the_request",
)
"""Of the conformance suite, for the provider that shows what a plug-in needs: what its translation, of a few fields, adds nothing to."""

SAME_FOR_PLAIN_JOBS = (
    "test_throttling_and_lost_answers_make_no_job_twice[driven]",
    "test_what_a_trial_left_comes_back[driven]",
    "test_first_trials_that_fail_in_the_same_way_end_a_managed_job",
)
"""Of `cloud_runs.CloudRuns`: what Vertex AI's tests show, of code that all services share."""

DRIVERS_OF_THEIR_OWN = (
    "test_a_killed_driver_is_resumed_with_the_jobs_that_run",
    "test_who_follows_may_be_killed_and_another_goes_on",
    "test_the_command_line_runs_a_job_in_an_emulator_of_its_own",
)
"""Of `cloud_runs.CloudRuns`: what needs a process with the service's SDK, which takes seconds to load; SageMaker's tests show it."""

OF_SHARED_CODE = (
    "test_what_is_printed_is_read_as_on_this_machine[driven]",
    "test_an_outage_is_sat_out",
    "test_values_of_the_environment_reach_the_trial_and_nothing_that_is_kept",
)
"""Of `cloud_runs.CloudRuns`: what Vertex AI's tests show, of the watching and the shipment that all services share."""

WITH_MANY_CALLS = (
    *OF_SHARED_CODE,
    "test_an_earlier_run_warms_a_driven_one",
    "test_another_machine_takes_a_job_in_by_its_name",
    "test_the_same_trials_as_on_this_machine",
)
"""Of `cloud_runs.CloudRuns`: what the tests of the two other services show; a call to Azure's emulator takes thrice as long."""
