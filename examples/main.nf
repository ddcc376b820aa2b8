// Impute a target in parts with Nextflow:
//
//     nextflow run examples/main.nf --target target.vcf.gz --out imputed.vcf.gz --workspace work
//
// On a cluster, add a configuration with an executor, such as: process.executor = 'slurm'

params.workspace = 'work'
params.memory = '4G'  // of one part
params.options = ''   // more options of `vcfbert impute`

process plan {
    output:
    path 'plan.json'

    script:
    """
    vcfbert impute plan '${file(params.target)}' --out '${file(params.out)}' --plan plan.json \
        --workspace '${file(params.workspace)}' --memory ${params.memory} ${params.options}
    """
}

process part {
    errorStrategy 'retry'
    maxRetries 2

    input:
    tuple path(plan), val(number)

    output:
    val number

    script:
    """
    vcfbert impute part --plan ${plan} --part ${number} --threads ${task.cpus}
    """
}

process join {
    input:
    path plan
    val numbers

    output:
    stdout

    script:
    """
    vcfbert impute join --plan ${plan} --force
    """
}

workflow {
    plan()
    numbers = plan.out.flatMap { 1..(new groovy.json.JsonSlurper().parse(it).parts.size()) }
    part(plan.out.combine(numbers))
    join(plan.out, part.out.collect()) | view
}
