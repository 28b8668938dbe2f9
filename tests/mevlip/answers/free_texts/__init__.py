"""Free texts in the manner of chatty base models, with what each of them says; one file per task, and one held out."""
