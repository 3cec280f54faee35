"""Data pipeline: turn the records of a source into batches for a model, fitting everything on training subjects only.

The stages in the order in which they run, and the module of each:

- source: read an export into coded events (``sources/synthea.py``; the tables are defined in ``events.py``)
- known times: bound the time at which each entry was known (``known_times.py``)
- observed entries: leave out entries from the outcome or the death onwards (``outcomes/``, ``death_codes.py``)
- visits: group the entries of each subject into visits (``visits.py``)
- cohort: select the eligible subjects and count the exclusions (``cohort.py``)
- split: assign subjects to train, val and test by a hash of their id (``split.py``)
- labels: derive the outcome from the records (``outcomes/clinical.py``) or draw it (``outcomes/synthetic.py``)
- targets: express the labels on the run's clock (``targets.py``: visit clock; ``landmark.py``: landmark clock)
- features: compute numbers beside the codes of each visit and standardise them (``features.py``)
- vocabulary: number the codes that occur in the training subjects (``vocabulary.py``)
- tensors: store what a model may see, and its labels, as ragged arrays (``tensors.py``)
- batches: group subjects of similar record length and pack their visits (``batches.py``, ``packing.py``)

Around the stages:

- ``prepare.py`` runs the stages from source to tensors and counts what is left out (``prepared_data.py``)
- ``prepared_cache.py`` stores the result under a fingerprint; ``checksums.py`` detects damaged files in the cache
- ``preprocessing_state.py`` holds what the stages fit, so that another cohort can be prepared alike
- ``external_cohort.py`` replaces the test subjects of a run by another cohort
- ``encounters.py`` separates encounters that several subjects share
- ``factory.py`` builds sources, outcomes, prepared data and batches from a config
"""
